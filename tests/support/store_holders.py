"""What other processes do with a store: `other_process` runs these functions."""

from __future__ import annotations

import asyncio
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from pyarrow import dataset

from iottly_async import Config, FollowPace, IottlySession, RateLimiter
from iottly_async.codec import Answers
from iottly_async.ingest import IngestJob, Progress, Store, open_store
from iottly_async.ingest.partitions import Partition, run_partition
from iottly_async.ingest.stores.duckdb import store as duckdb_store
from iottly_async.ingest.stores.parquet import conversion, devices, row_files, row_log
from iottly_async.ingest.stores.postgres import connection as postgres_connection

# Stores import these late; imported here, they are there in each process.
LATE = (dataset, duckdb_store, conversion, devices, row_files, row_log, postgres_connection)
Answers()


def hold(path: str, connection: Connection) -> None:
    """Open a store, say so, and hold it until the connection ends."""

    async def work() -> None:
        await _opened(path)
        connection.send("held")
        connection.recv()

    asyncio.run(work())


def hold_and_fork(path: str, connection: Connection) -> None:
    """Open a store, and fork a process that outlives this one. It sends its own id."""
    store = asyncio.run(_opened(path))
    if not os.fork():
        connection.send(os.getpid())  # by now it holds no lock of its parent
    signal.pause()
    del store


async def _opened(path: str) -> Store:
    store = open_store(path)
    await store.open()
    await store.begin("a plan")
    return store


def follow(
    config: Config, key: str, project: str, store: str, pace: FollowPace, connection: Connection
) -> None:
    """Run a job that follows, and say so at each of its reports."""

    def tell(progress: Progress) -> None:
        if progress.following:
            connection.send("following")

    async def work() -> None:
        async with IottlySession(key, config=config, limiter=RateLimiter()) as session:
            job = IngestJob(
                session, project=project, store=store, follow=True, flush_every=0.05, pace=pace
            )
            await job.run(tell)

    asyncio.run(work())


def run_one_partition(
    partition: str, folder: Path, variables: dict[str, str], connection: Connection
) -> None:
    """Run a partition, and say so at its end."""
    os.environ.update(variables)
    asyncio.run(run_partition(Partition.from_json(partition), folder))
    connection.send("done")
