"""Scaling: a plan on a Dask cluster of 1, 2 and 4 workers, and the costs of its parts.

``python -m benchmarks scaling [--part workers|overhead|devices|rows|kills] [--keys 10]``

The part ``kills`` kills a worker, the scheduler and the script in turn, 50 times in all, runs the
script again each time, and compares the files with the emulator.

The emulator and a Redis run in processes of their own. The ideal time of the workers is what
the quotas alone take: the quota windows that the busiest key needs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from attrs import evolve

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import EmulatorThread
from iottly_async.ingest.partitions import (
    Partition,
    PartitionManifest,
    PartitionSource,
    plan,
    run_partition,
)
from tests.support.cluster_trial import cluster_trial, kill_many
from tests.support.redis_server import running_redis

from .table import Figure

START, END = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
LIMIT, WINDOW = 40, 2  # requests a key, and seconds
KILLS = 50
SLOTS = 12  # partitions at once, with any number of workers; more than there are keys

SERVER = """
import json, sys
from iottly_async.emulator import EmulatorThread
with EmulatorThread(**json.loads(sys.argv[1])) as emulator:
    print(json.dumps([emulator.base_url, emulator.project_id, emulator.device_ids]), flush=True)
    sys.stdin.read()
    print(sum(one.refused for one in emulator.requests), flush=True)
"""


@contextmanager
def emulated(keys: int, **options: Any) -> Iterator[tuple[str, list[str], Callable[[], int]]]:
    """Run an emulator in a process. Yields its project, its devices, and a function that ends
    it and returns the number of requests that it refused."""
    names = [f"a-key-of-{number}" for number in range(keys)]
    given = json.dumps({"api_keys": names, **options})
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url, project, devices = json.loads(server.stdout.readline())
        os.environ.update({f"KEY_{number}": name for number, name in enumerate(names)})
        os.environ["IOTTLY_BASE_URL"] = url

        def refused() -> int:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.close()
            return int(server.stdout.readline())

        yield project, devices, refused
        server.kill()


def planned(project: str, devices: Sequence[str], keys: int, **more: Any) -> list[Partition]:
    """A plan that divides the devices evenly among the keys."""
    sources = [
        PartitionSource(project=project, key_env=f"KEY_{key}", devices=tuple(devices[key::keys]))
        for key in range(keys)
    ]
    return asyncio.run(plan(sources, start=START, end=END, **more))


@contextmanager
def clustered(workers: int, threads: int) -> Iterator[Any]:
    """Run a cluster of processes. Yields its client."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers, threads_per_worker=threads, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def workers(keys: int) -> list[Figure]:
    """Run the same plan with 1, 2 and 4 workers, and with the same number of slots in all."""
    from iottly_async.integrations.dask import run

    figures: list[Figure] = []
    digests = set()
    quota = {"rate_limit": LIMIT, "rate_window": WINDOW}
    for count in (1, 2, 4):
        with (
            running_redis() as redis,
            tempfile.TemporaryDirectory() as folder,
            emulated(keys, devices=60, messages=60_000, **quota) as (project, devices, refused),
        ):
            os.environ["REDIS_OF_OURS"] = redis.url
            partitions = planned(
                project,
                devices,
                keys,
                windows_per_partition=10,
                window=timedelta(days=10),
                redis_env="REDIS_OF_OURS",
            )
            with clustered(count, ceil(SLOTS / count)) as client:
                begun = perf_counter()
                manifests = run(client, partitions, folder)
                took = perf_counter() - begun
            refusals = f"{refused():,} requests refused"
        digests.add(tuple(one.digest for one in manifests))
        ideal = ideal_of(partitions, manifests)
        rows = sum(one.rows for one in manifests)
        print(f"{count} workers: {rows:,} rows, {took:.1f} s, {refusals}")
        figures.append(
            Figure(f"{count} workers, {keys} keys: time / the quotas' own", took / ideal)
        )
        figures.append(Figure(f"{count} workers: rows a second", rows / took, unit="/s"))
    if len(digests) != 1:
        raise RuntimeError("the same plan gave different rows")
    return figures


def ideal_of(partitions: Sequence[Partition], manifests: Sequence[PartitionManifest]) -> float:
    """The seconds that the busiest key's quota takes. The first window is available at once."""
    requests: dict[str, int] = {}
    for partition, manifest in zip(partitions, manifests, strict=True):
        requests[partition.key_env] = requests.get(partition.key_env, 0) + manifest.requests
    return float((ceil(max(requests.values()) / LIMIT) - 1) * WINDOW)


def overhead(keys: int) -> list[Figure]:
    """Measure what a task costs besides its requests: on a cluster, alone, and in one session."""
    from iottly_async.integrations.dask import run

    with (
        tempfile.TemporaryDirectory() as folder,
        emulated(1, devices=100, messages=100) as (project, devices, _),
    ):
        partitions = planned(project, devices, 1, windows_per_partition=1)
        alone = []
        for partition in partitions:
            begun = perf_counter()
            asyncio.run(run_partition(partition, Path(folder, "alone")))
            alone.append(perf_counter() - begun)
        with clustered(1, 1) as client:
            run(client, partitions[:10], Path(folder, "warm"))
            begun = perf_counter()
            run(client, partitions, Path(folder, "dask"))
            clustered_ms = (perf_counter() - begun) * 1000 / len(partitions)
            begun = perf_counter()
            client.gather([client.submit(abs, -number) for number in range(1000)])
            empty_ms = perf_counter() - begun
        request_ms = asyncio.run(_requests(project, devices))
    alone_ms = median(alone) * 1000
    return [
        Figure("a request, session kept", request_ms, unit="ms"),
        Figure("a partition of one request, alone", alone_ms, unit="ms"),
        Figure("the same as a task of a cluster", clustered_ms, unit="ms"),
        Figure("an empty task of a cluster", empty_ms, unit="ms"),
    ]


async def _requests(project: str, devices: Sequence[str]) -> float:
    async with IottlySession(os.environ["KEY_0"], limiter=RateLimiter()) as session:
        messages = session.project(project).messages
        begun = perf_counter()
        for device_id in devices:
            await messages.page(device_id, start=START, end=END, order="asc", size=100)
        return (perf_counter() - begun) * 1000 / len(devices)


def by_devices(keys: int) -> list[Figure]:
    """Measure what a plan costs a device: its making, its memory, and its size when sent."""
    figures: list[Figure] = []
    with EmulatorThread(devices=1, messages=10) as emulator:
        os.environ["KEY_0"] = emulator.api_key
        config = evolve(Config(), base_url=emulator.base_url)
        for count in (1_000, 10_000, 100_000):
            ids = [emulator.device_ids[0][:-6] + f"{number:06d}" for number in range(count - 1)]
            source = PartitionSource(
                project=emulator.project_id,
                key_env="KEY_0",
                devices=(emulator.device_ids[0], *ids),
            )
            tracemalloc.start()
            begun = perf_counter()
            partitions = asyncio.run(
                plan([source], start=START, end=END, windows_per_partition=100, config=config)
            )
            took = perf_counter() - begun
            memory, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            sent = sum(len(pickle.dumps(one)) for one in partitions)
            name = f"{count:,} devices"
            figures += [
                Figure(f"{name}: planning, a device", took / count * 1e6, unit="us"),
                Figure(f"{name}: memory of the plan, a device", memory / count, unit="B"),
                Figure(f"{name}: sent to the cluster, a device", sent / count, unit="B"),
            ]
    return figures


def by_rows(keys: int) -> list[Figure]:
    """Measure what a row costs in a partition whose windows have about 1,500 rows."""
    figures: list[Figure] = []
    with emulated(1, devices=40, messages=60_000) as (project, devices, _):
        warming, partition = planned(project, devices, 1, windows_per_partition=20)
        for form in ("jsonl", "parquet"):
            with tempfile.TemporaryDirectory() as above:
                asyncio.run(run_partition(warming, Path(above, "warm"), format=form))
                folder = Path(above, "measured")
                begun = process_time()
                rows = asyncio.run(run_partition(partition, folder, format=form)).rows
                took = process_time() - begun
                size = sum(path.stat().st_size for path in folder.rglob(f"*.{form}"))
            figures += [
                Figure(f"{form}: CPU a row, through a partition", took / rows * 1e6, unit="us"),
                Figure(f"{form}: size of a row", size / rows, unit="B"),
            ]
    return figures


def kills(keys: int) -> list[Figure]:
    """Kill the parts of a cluster, and its script, at random moments; then compare the rows."""
    with (
        tempfile.TemporaryDirectory() as above,
        cluster_trial(Path(above, "folder"), kills=KILLS, workers=2) as trial,
    ):
        kill_many(trial, KILLS)
        trial.finish()
        print(f"killed: {trial.killed}; the script did not notice: {trial.hung}")
        return [
            Figure("rows lost, repeated or wrong, after all kills", trial.wrong(), 0, unit=""),
            Figure("scripts that hung without a scheduler", trial.hung, 0, unit=""),
        ]


PARTS: dict[str, Callable[[int], list[Figure]]] = {
    "workers": workers,
    "overhead": overhead,
    "devices": by_devices,
    "rows": by_rows,
    "kills": kills,
}


def main(argv: list[str]) -> list[Figure]:
    """Run one part, or all parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling")
    parser.add_argument("--part", choices=[*PARTS], help="one part; all by default")
    parser.add_argument("--keys", type=int, default=10, help="keys, each with a quota of its own")
    given = parser.parse_args(argv)
    chosen = [given.part] if given.part else [*PARTS]
    return [figure for part in chosen for figure in PARTS[part](given.keys)]
