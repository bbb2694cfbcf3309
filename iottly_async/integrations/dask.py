"""A plan of partitions on a Dask cluster (extra ``dask``).

::

    partitions = await plan(sources, start=…, redis_env="REDIS_URL")
    with Client("tcp://scheduler:8786") as client:
        manifests = run(client, partitions, "/mnt/telemetry", progress=print)

A task is a partition. The workers need this library, the folder at the same path, and the
environment variables that the partitions name; neither a key nor a Redis URL is ever sent
to the scheduler. Each task spends most of its time waiting for the service, so workers
want many threads: with as many threads in all as there are keys, all quotas are in use.
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

from ..config import Config
from ..ingest.partitions import Format, Partition, PartitionManifest, run_partition

Progress = Callable[[PartitionManifest], object]


def submit(
    client: Client,
    partitions: Iterable[Partition],
    to: str | os.PathLike[str],
    *,
    format: Format = "jsonl",  # noqa: A002 - as everywhere in this library
    config: Config | None = None,
    retries: int = 5,
) -> list[Future[Any]]:
    """Give partitions to a cluster; a future of a `PartitionManifest` for each.

    A partition whose worker is killed is run by another one, as often as the cluster's
    ``distributed.scheduler.allowed-failures`` says. What the killed one left aside is taken
    away, and what it had finished is not fetched again.

    Args:
        client: of the cluster; with an asynchronous one the futures are awaited.
        partitions: of a plan; those first in the list go first.
        to: a folder that all workers have at this path.
        format: "jsonl" or "parquet".
        config: as of `run_partition`, on the workers; it must be one that can be pickled.
        retries: how often a partition that ends with an error is run again. Default 5.
    """
    folder = os.fspath(to)
    # The same partition into the same folder is the same task, who ever gives it.
    place = blake2b(f"{folder}\n{format}".encode(), digest_size=4).hexdigest()
    return _submit(client, partitions, folder, format, config, retries, place)


def _submit(
    client: Client,
    partitions: Iterable[Partition],
    folder: str,
    form: Format,
    config: Config | None,
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
    progress: Progress | None = None,
) -> list[PartitionManifest]:
    """Run partitions on a cluster, and wait for all; the manifests, in the partitions' order.

    Args:
        client: of the cluster, a synchronous one.
        progress: called with each manifest as it comes; None reports nothing.
        partitions, to, format, config, retries: as in `submit`.

    Raises:
        ExceptionGroup: some partitions failed for good; the others are done, and running
            the same again fetches only what is missing.
    """
    # Names of this run's own: the cluster forgets a task some time after it was told to, and
    # would answer one given meanwhile by the same name with what came of the first.
    folder, suffix = os.fspath(to), uuid4().hex[:8]
    futures = _submit(client, partitions, folder, format, config, retries, suffix)
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
    partition: Partition, folder: str, form: Format, config: Config | None
) -> PartitionManifest:
    """The task: in a worker's thread, with an event loop of its own."""
    return asyncio.run(run_partition(partition, folder, format=form, config=config))
