"""Ingestion: what a job costs a row, compared with the walk and with the least for its store.

All contenders fetch the same pages from a server process. The figures are ratios of CPU time:
this process's, with all of its threads. Those of one fleet (one device, and 50) are measured
in turns, so that a ratio divides times of one turn. Each is measured with messages that have
their milliseconds for themselves, and where up to 2, and up to 5, share one.

- `batches` is the walk without a job.
- The store `nothing` drops every row: what a job costs beyond the walk.
- The floor of a store is raw aiohttp, msgspec's decoding of the pages into typed rows, and the
  store's own bulk load. It loads rows that are ready-made in memory with their keys: as Arrow, or
  for JSON lines as rows of which it makes lines.
- `the same, keys made` is that floor, and computes the keys of the rows that it fetches. A program
  by hand needs keys if it can be run again. So the difference between the floors is what keys cost.
- No floor checks a payload, keeps a cursor, or orders messages that share a millisecond.

The key is a hash of what a message has. It keeps the ratios to the first floor above their bound.
In µs a row, at best, where msgspec takes 0.45 to decode a page: 0.4 to decode the payloads, 0.45 to
encode them in one form, 0.5 for blake2b, 0.3 for times as texts. `hashlib` has no call that hashes
many rows. Less would be another key, and stored keys would no longer fit.

Messages that share a millisecond are ordered by the device's time, and then by the payload in that
one form. Here they share both times. So `batches` decodes and encodes their payloads, and a job
does not do it again.

The part `postgresql` compares a job with a loop written by hand, by the wall clock: most of
the time is the server's. The part `flush` has fleets of 100, 10,000 and 100,000 devices: what a
flush of ten devices writes and takes, and what a look at the job's progress takes. `--long` is a
job of 1,000,000 rows over sockets with 20 ms a request, beside one written by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.ingest import IngestJob
from iottly_async.ingest.stores import Group, StoredState
from iottly_async.ingest.validate import validate
from iottly_async.models import MessageBatch
from iottly_async.models.message_batch import rows_of
from iottly_async.models.row import MessageRow

from .clients import HEADERS, KEY
from .ingest_flush import flushes
from .ingest_loads import bulk_load
from .ingest_long import long_run
from .ingest_postgres import postgres
from .pages import DEVICE, PROJECT, SIZE
from .pageserver import page_server
from .pairing import Race, Work
from .table import Figure, Row, run_parts
from .typed_rows import keys_by_hand, typed_pages

FLEETS: Final = (1, 50)
TIES: Final = (1, 2, 5)
STORES: Final[Mapping[str, tuple[str, ...]]] = {
    "jsonl": (),
    "jsonl.zst": ("zstandard",),
    "parquet": ("pyarrow",),
    "duckdb": ("duckdb", "pyarrow"),
}
"""The file stores, and the packages that each needs."""
FLOORS: Final = {"its floor": False, "the same, keys made": True}
"""The floors of a store, and whether each computes keys."""
_DEFAULT: Final = ("jsonl", "parquet", "duckdb")


def main(argv: list[str]) -> Iterator[Row]:
    """Measure the stores that the arguments name; all but compressed lines by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ingest", description=__doc__)
    parser.add_argument("--messages", type=int, default=12_000, help="messages a run")
    parser.add_argument("--turns", type=int, default=5, help="turns, each of one paired ratio")
    parser.add_argument(
        "--store", choices=[*STORES, "postgresql"], action="append", help="only these stores"
    )
    parser.add_argument(
        "--long", action="store_true", help="only 1,000,000 rows into JSON lines, 20 ms a request"
    )
    given = parser.parse_args(argv)
    if given.long:
        return run_parts({"long": partial(long_run, 1_000_000, given.turns)})
    named = given.store or [*_DEFAULT, "postgresql"]
    stores = [store for store in named if store != "postgresql"]
    parts: dict[str, Callable[[], list[Figure]]] = {}
    if stores:
        for devices in FLEETS:
            name = f"{devices} devices" if devices > 1 else "1 device"
            parts[name] = partial(_fleet, name, devices, stores, given)
    if "postgresql" in named:
        # More rows, so that creating the tables, which both do, is a small part of the time.
        parts["postgresql"] = partial(postgres, 3 * given.messages, min(given.turns, 3))
    if not given.store:
        parts["flush"] = flushes
    return run_parts(parts)


class NoStore:
    """A store that drops every row."""

    async def open(self) -> StoredState:
        """Return what a new store holds."""
        return StoredState(plan=None, cursors={})

    async def begin(self, plan: str) -> None:
        """Drop the plan."""

    async def write(self, group: Group) -> Mapping[str, int]:
        """Drop the rows, and reject none."""
        return {}

    async def flush(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Bench:
    """The contenders over one server; each is a coroutine function that returns its rows' number.

    Args:
        base: The server's URL.
        devices: Their number; each has as many messages.
        folder: A place for stores.
    """

    def __init__(self, base: str, devices: int, folder: Path) -> None:
        self._base = base
        self._devices = [DEVICE, *(str(UUID(int=number)) for number in range(1, devices))]
        self._folder = folder
        self._number = count()
        self._concurrency = min(devices, 8)
        self.session = IottlySession(KEY, config=Config(base_url=base), limiter=RateLimiter())

    async def batches(self) -> int:
        """Walk in batches and take each payload as JSON."""
        rows = 0
        async with aclosing(self._walk()) as found:
            async for batch in found:
                for message in batch.messages:
                    message.payload_json  # noqa: B018 - as a writer of files would
                rows += len(batch.messages)
        return rows

    async def collect(self) -> list[MessageRow]:
        """All messages as rows with their keys, which the floors have ready-made."""
        async with aclosing(self._walk()) as found:
            rows = [row async for batch in found for row in rows_of(batch)]
        validate(rows)
        return rows

    def _walk(self) -> AsyncGenerator[MessageBatch, None]:
        return self.session.project(PROJECT).messages.batches_many(
            self._devices, concurrency=self._concurrency
        )

    async def job(self, store: str) -> int:
        """Run the library's job."""
        place = NoStore() if store == "nothing" else self._new_place(store)
        job = IngestJob(
            self.session,
            project=PROJECT,
            devices=self._devices,
            store=place,
            concurrency=self._concurrency,
        )
        return (await job.run()).rows

    async def floor(self, load: Callable[[str], int], store: str, *, keyed: bool) -> int:
        """Fetch and decode all pages, compute keys if `keyed`, and load the ready-made rows."""
        count = 0
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            for device in self._devices:
                async for rows in typed_pages(session, self._base, device):
                    if keyed:
                        keys_by_hand(rows)
                    count += len(rows)
        loaded = load(self._new_place(store))
        if loaded != count:
            raise RuntimeError(f"{count} rows were fetched, and {loaded} loaded")
        return count

    def _new_place(self, store: str) -> str:
        """A path for a new store; those of earlier turns are deleted."""
        for old in self._folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
        return str(self._folder / f"{next(self._number)}.{store}")


def _fleet(
    name: str, devices: int, stores: Sequence[str], given: argparse.Namespace
) -> list[Figure]:
    for store in stores:
        for package in STORES[store]:
            import_module(package)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = max(SIZE, given.messages // devices)
        benches = {
            ties: Bench(stack.enter_context(page_server(rows, ties)), devices, folder)
            for ties in TIES
        }
        return asyncio.run(_measure(name, benches, stores, given.turns))


async def _measure(
    name: str, benches: Mapping[int, Bench], stores: Sequence[str], turns: int
) -> list[Figure]:
    contenders: dict[str, Work] = {}
    for ties, bench in benches.items():
        contenders[f"batches {ties}"] = bench.batches
        rows = await bench.collect()
        for store in ("nothing", *stores):
            contenders[f"{store} {ties}"] = partial(bench.job, store)
        for store in stores:
            load = bulk_load(store, rows)
            for floor, keyed in FLOORS.items():
                work = partial(bench.floor, load, store, keyed=keyed)
                contenders[f"{store}: {floor} {ties}"] = work
        del rows
    # Without this, the garbage collector scans what the floors have ready-made.
    gc.collect()
    gc.freeze()
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        gc.unfreeze()
        for bench in benches.values():
            await bench.session.aclose()
    print(f"  {name}, µs of CPU a row, at best:")
    of_stores = [name for s in stores for name in (s, *(f"{s}: {floor}" for floor in FLOORS))]
    for one in ["batches", "nothing", *of_stores]:
        took = "  ".join(f"{race.best(f'{one} {ties}', 'cpu'):6.2f}" for ties in TIES)
        print(f"    {one:<28} {took}")
    figures = [
        race.figure(
            f"{name}: batches{_shared(ties)} / alone", f"batches {ties}", "batches 1", bound=1.3
        )
        for ties in TIES[1:]
    ]
    for ties in TIES:
        figures.append(
            race.figure(
                f"{name}{_shared(ties)}: job without a store / batches",
                f"nothing {ties}",
                f"batches {ties}",
                bound=1.3,
            )
        )
        figures += [
            race.figure(
                f"{name}{_shared(ties)}: {store} / {floor}",
                f"{store} {ties}",
                f"{store}: {floor} {ties}",
                bound=None if keyed else 1.4,
            )
            for store in stores
            for floor, keyed in FLOORS.items()
        ]
    return figures


def _shared(ties: int) -> str:
    return "" if ties == 1 else f", up to {ties} a ms"
