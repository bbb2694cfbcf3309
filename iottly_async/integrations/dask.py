"""The Dask integration: runs the partitions of a plan on a cluster (extra ``dask``).

```python
partitions = await plan(sources, "/mnt/shared/telemetry", start=start, redis_env="REDIS_URL")
with Client("tcp://scheduler:8786") as client:
    manifests = run(client, partitions, "/mnt/shared/telemetry", progress=print)
```

If a worker, the scheduler or this program is killed, run the program again. The plan is kept in
the folder, and only what is missing is fetched.

Each partition is one task. The workers need this library, the folder at the same path, and
the environment variables that the partitions name. No key and no Redis URL is sent to the
scheduler. A task spends most of its time waiting for the service, so workers need many
threads: if all workers together have as many threads as there are keys, every quota is used.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, cast
from uuid import uuid4

try:
    from distributed import Client, Future, as_completed
except ImportError as error:
    raise ImportError(
        "iottly_async.integrations.dask needs the extra dask: pip install 'iottly-async[dask]'"
    ) from error

from ..config import Config, Seconds
from ..ingest.partitions import Format, Partition, PartitionManifest, run_partition
from ..ingest.stores.names import checked_path

Progress = Callable[[PartitionManifest], object]


def submit(
    client: Client,
    partitions: Iterable[Partition],
    to: str | os.PathLike[str],
    *,
    format: Format = "jsonl",  # noqa: A002 - as everywhere in this library
    config: Config | None = None,
    retries: int = 5,
    patience: Seconds | None = None,
) -> list[Future[Any]]:
    """Submit partitions to a cluster, without waiting for them.

    If a worker is killed, another worker runs its partitions again, as often as the cluster's
    ``distributed.scheduler.allowed-failures`` allows. Temporary files of the killed worker
    are removed, and partitions that it had finished are not fetched again.

    Args:
        client: a client of the cluster. With an asynchronous client, await the futures.
        partitions: the partitions of a plan. The first ones have the highest priority.
        to: a folder that all workers have at the same path, and its parent too; no mount (`plan`).
        format: "jsonl" or "parquet". Default "jsonl".
        config: the settings of the sessions on the workers. It must be picklable. None, the
            default, is `Config.from_env()` on each worker. `base_url` is the partition's own.
        retries: how often a partition that fails is run again. Default 5.
        patience: as in `run_partition`. None, the default, is `Config.patience`.

    Returns:
        One future of a `PartitionManifest` for each partition, in the same order.
    """
    folder = checked_path(to, name="to")
    # The same partition into the same folder is the same task, whichever client submits it.
    suffix = blake2b(f"{folder}\n{format}".encode(), digest_size=4).hexdigest()
    return _submit(client, partitions, folder, format, config, patience, retries, suffix)


def _submit(
    client: Client,
    partitions: Iterable[Partition],
    folder: str,
    form: Format,
    config: Config | None,
    patience: Seconds | None,
    retries: int,
    suffix: str,
) -> list[Future[Any]]:
    return [
        client.submit(
            _run,
            partition,
            folder,
            form,
            config,
            patience,
            key=f"iottly-partition-{partition.id}-{suffix}",
            priority=-number,
            retries=retries,
            pure=False,
        )
        for number, partition in enumerate(partitions)
    ]


def run(
    client: Client,
    partitions: Iterable[Partition],
    to: str | os.PathLike[str],
    *,
    format: Format = "jsonl",  # noqa: A002
    config: Config | None = None,
    retries: int = 5,
    patience: Seconds | None = None,
    progress: Progress | None = None,
) -> list[PartitionManifest]:
    """Run partitions on a cluster and wait until all of them have ended.

    Example:
        ```python
        with Client("tcp://scheduler:8786") as client:
            manifests = run(client, partitions, "/mnt/shared/telemetry", progress=print)
        print(sum(manifest.rows for manifest in manifests), "rows")
        ```

    Args:
        client: a synchronous client of the cluster.
        partitions: the partitions of a plan. The first ones have the highest priority.
        to: a folder that all workers have at the same path, and its parent too; no mount (`plan`).
        format: "jsonl" or "parquet". Default "jsonl".
        config: the settings of the sessions on the workers. It must be picklable. None, the
            default, is `Config.from_env()` on each worker. `base_url` is the partition's own.
        retries: how often a partition that fails is run again. Default 5.
        patience: as in `run_partition`. None, the default, is `Config.patience`.
        progress: called with each manifest when its partition has ended. None, the default,
            calls nothing.

    Returns:
        The manifests, in the order of the partitions.

    Raises:
        ExceptionGroup: some partitions failed after all retries. The others are complete,
            and running the same partitions again fetches only what is missing.
    """
    # The task names are unique to this run. The scheduler forgets cancelled tasks only after
    # a while, and would answer a task of the same name with the old result.
    folder, suffix = checked_path(to, name="to"), uuid4().hex[:8]
    futures = _submit(client, partitions, folder, format, config, patience, retries, suffix)
    manifests: dict[Any, PartitionManifest] = {}
    errors: list[Exception] = []
    try:
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            error = future.exception()
            if error is None:
                manifests[future.key] = manifest = cast(PartitionManifest, future.result())
                if progress is not None:
                    progress(manifest)
            else:
                error.add_note(f"in {future.key}")
                errors.append(error)
    finally:
        client.cancel(futures)  # type: ignore[no-untyped-call]
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(futures)} partitions failed", errors)
    return [manifests[future.key] for future in futures]


def _run(
    partition: Partition,
    folder: str,
    form: Format,
    config: Config | None,
    patience: Seconds | None,
) -> PartitionManifest:
    """Run one partition, in a worker's thread and with its own event loop."""
    work = run_partition(partition, folder, format=form, config=config, patience=patience)
    return asyncio.run(work)
