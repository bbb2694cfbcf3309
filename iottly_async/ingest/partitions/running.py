"""Runs a partition: walks its windows, writes its files, and its manifest last."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from hashlib import blake2b
from typing import Final, TypeVar, cast, get_args

from attrs import evolve

from ...config import Config, Seconds
from ...errors import ConfigurationError, IottlyError
from ...models import MessageBatch
from ...models.message_batch import rows_of
from ...models.row import MessageRow
from ...ratelimit import Limiter
from ...resources.messages import TypeFilter
from ...session import IottlySession
from ..stores import Rejected
from ..stores.thread import StoreThread
from ..validate import validate
from .files import Format, PartitionFiles
from .folder_plan import check_belongs
from .layout import folder_of
from .manifest import PartitionManifest
from .ordered import in_order
from .partition import Partition, PartitionInterval
from .planning import from_environment

T = TypeVar("T")

_log = logging.getLogger("iottly_async.ingest")

_GROUP: Final = 5_000  # rows in one write


async def run_partition(
    partition: Partition,
    to: str | os.PathLike[str],
    *,
    format: Format = "jsonl",  # noqa: A002 - as everywhere in this library
    config: Config | None = None,
    limiter: Limiter | None = None,
    patience: Seconds | None = None,
) -> PartitionManifest:
    """Fetch a partition into a folder.

    A partition can be run again at any time: while another process runs it, or after a
    process was killed. Its files appear as a whole, and are the same each time. If it was
    complete before and its files are still there, nothing is fetched.

    Args:
        partition: one partition of a plan.
        to: a folder, the same for all partitions of a plan; created if it does not exist. It
            gets a file of rows for each partition. Manifests and rejected rows are in a folder
            beside it, ``<to>.ingest``, so `to` must not be the place where a file system is
            mounted.
        format: "jsonl", or "parquet" with the extra ``parquet``. Default "jsonl".
        config: of the session. Its `base_url` is replaced by the partition's, which must obey
            the same rules. None is `Config.from_env()`.
        limiter: the limiter of the session. None is a `RedisLimiter` if the partition names a
            Redis, else the limiter of the key in this process.
        patience: seconds for which failures of the service that pass are waited out,
            `math.inf` without end (D18). None, the default, is `Config.patience`.

    Returns:
        The manifest, which is also in the folder.

    Raises:
        ConfigurationError: an environment variable that the partition names is not set, an
            argument is not as above, or the folder has another plan, the partition in another
            format, other windows under its id, or the rows of an earlier version.
        UnauthorizedError: the key is not accepted.
        StoreError: the folder cannot be written.
        IottlyError: an error that may pass (no connection, no quota, an error of the
            service) lasted longer than `patience`. Run the partition again.
    """
    if format not in get_args(Format):
        raise ConfigurationError(f"format must be 'jsonl' or 'parquet', not {format!r}")
    partition = evolve(partition)  # checks it; a pickle is not checked when it is read
    config = evolve(config or Config.from_env(), base_url=partition.base_url)
    folder = folder_of(to)
    files = PartitionFiles(folder, partition, format)
    thread = StoreThread("iottly-partition")
    try:
        await thread.run(lambda: check_belongs(partition, folder))
        complete = await thread.run(files.complete)
        if complete is not None and not complete.failed:
            return evolve(complete, requests=0, seconds=0.0, reused=True)
        await thread.run(files.begin)
        async with _session(partition, config, limiter) as session:
            manifest = await _fetch(session, partition, files, thread, patience)
        await thread.run(lambda: files.write_manifest(manifest))
        return manifest
    finally:
        await thread.close(files.close)


async def _fetch(
    session: IottlySession,
    partition: Partition,
    files: PartitionFiles,
    thread: StoreThread,
    patience: Seconds | None,
) -> PartitionManifest:
    now = asyncio.get_running_loop().time
    begun = now()
    failures: dict[str, str] = {}

    def failed(window: PartitionInterval, error: IottlyError) -> None:
        name = f"{window.device_id} {window.start} {window.end}"
        failures[name] = text = f"{type(error).__name__}: {error}"
        _log.warning("partition %s goes on without %s: %s", partition.id, name, text)

    writer = _PartitionWriter(files, thread)
    batches = in_order(
        session.project(partition.project).messages,
        partition.windows,
        type=cast(TypeFilter, partition.type),
        concurrency=partition.concurrency,
        patience=patience,
        failed=failed,
    )
    async with aclosing(batches):
        async for batch in batches:
            await writer.add(batch)
    await writer.end()
    await thread.run(lambda: check_belongs(partition, files.folder, claim=True))
    return PartitionManifest(
        partition_id=partition.id,
        partition=partition,
        rows=writer.rows,
        rejected=writer.rejected,
        digest=writer.digest.hexdigest(),
        files=await thread.run(files.commit),
        windows=len(partition.windows),
        failed=failures,
        requests=session.stats.attempts,
        seconds=now() - begun,
    )


class _PartitionWriter:
    """Writes groups of one size, so that the same rows always make the same files."""

    def __init__(self, files: PartitionFiles, thread: StoreThread) -> None:
        self.rows = self.rejected = 0
        self.digest = blake2b(digest_size=16)
        self._files = files
        self._thread = thread
        self._group: list[MessageRow] = []
        self._bad_rows: list[Rejected] = []
        self._known: set[str] = set()

    async def add(self, batch: MessageBatch) -> None:
        for row in batch.rejected:
            rejected = Rejected.of_row(row, batch.cursor.device_id)
            # A row at the edge of two windows may come with both.
            if rejected.key not in self._known:
                self._known.add(rejected.key)
                self._bad_rows.append(rejected)
        self._group += rows_of(batch)
        while len(self._group) >= _GROUP:
            group, self._group = self._group[:_GROUP], self._group[_GROUP:]
            await self._put(group)

    async def end(self) -> None:
        await self._put(self._group)

    async def _put(self, group: list[MessageRow]) -> None:
        bad_rows, self._bad_rows = self._bad_rows, []

        def put() -> None:
            valid, rejected = validate(group)
            rejected += bad_rows
            self.rows += len(valid)
            self.rejected += len(rejected)
            for row in group:
                self.digest.update(row.key.encode() + b"\n")
            self._files.add(valid, rejected)

        await self._thread.run(put)


@asynccontextmanager
async def _session(
    partition: Partition, config: Config, limiter: Limiter | None
) -> AsyncIterator[IottlySession]:
    key = from_environment(partition.key_env)
    if limiter is not None or partition.redis_env is None:
        async with IottlySession(key, config=config, limiter=limiter) as session:
            yield session
        return
    url = from_environment(partition.redis_env)
    try:
        from ...ratelimit.distributed.limiter import RedisLimiter
    except ImportError as missing:
        reason = str(missing)
    else:
        shared = RedisLimiter(url)  # the session names it, so that all sessions share the quota
        try:
            async with IottlySession(key, config=config, limiter=shared) as session:
                yield session
        finally:
            await shared.aclose()
        return
    raise ConfigurationError(reason)
