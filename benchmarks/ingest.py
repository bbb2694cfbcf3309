"""Ingestion: rows a second into each store, compared with the walk and with a bulk load.

All contenders fetch the same pages of one device from a server process, a request at a time,
and end with all rows durable. A job is compared with

- the walk without a store;
- the store's own bulk load of the same rows, which are in memory in the form it reads fastest;
- a loop written by hand: aiohttp, `r.json()`, `executemany` for each page.

A job is at most as fast as the slower of walk and load, which share the machine with the
server of pages and with PostgreSQL's server; the figure is the share of that speed that it
reaches. Rows go into tables with the same columns and indexes. Times are wall-clock, unless
a row says CPU.

The store `nothing` drops every row: it shows what the job itself costs beyond the walk. Its
rows are measured again where up to 2, and up to 5, messages share a millisecond.

The part `flush` has fleets of 100, 10,000 and 100,000 devices: what a flush of ten devices
writes and takes, and what a look at the job's progress takes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.ingest import IngestJob, TimeShares, open_store
from iottly_async.ingest.progress import DeviceProgress, Meter
from iottly_async.ingest.stores import Group, StoredState
from iottly_async.ingest.stores.duckdb import schema as duckdb_schema
from iottly_async.ingest.stores.jsonl.lines import lines_of
from iottly_async.ingest.stores.postgres import schema as postgres_schema
from iottly_async.models import Cursor, Message, Quota

from .clients import HEADERS, KEY, held_from, url
from .clients import by_name as time_of
from .pages import DEVICE, PROJECT, SIZE
from .pageserver import page_server
from .pairing import Race, Work
from .table import Figure, Row, run_parts

if TYPE_CHECKING:
    import pyarrow as pa

TIES: Final = (1, 2, 5)
STORES: Final[Mapping[str, tuple[str, ...]]] = {
    "nothing": (),
    "jsonl": (),
    "jsonl.zst": ("zstandard",),
    "duckdb": ("duckdb", "pyarrow"),
    "parquet": ("pyarrow",),
    "postgresql": ("asyncpg",),
}
"""The stores, and the packages that each needs."""


def main(argv: list[str]) -> Iterator[Row]:
    """Measure the stores that the arguments name; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ingest", description=__doc__)
    parser.add_argument("--messages", type=int, default=99_001, help="messages a run")
    parser.add_argument("--turns", type=int, default=7, help="turns, each of one paired ratio")
    parser.add_argument("--store", choices=STORES, action="append", help="only these stores")
    given = parser.parse_args(argv)
    parts: dict[str, Callable[[], list[Figure]]] = {}
    for store in given.store or STORES:
        for ties in TIES if store == "nothing" else (1,):
            name = store if ties == 1 else f"{store}, up to {ties} a millisecond"
            parts[name] = partial(_part, name, store, ties, given)
    if not given.store:
        parts["flush"] = _flushes
    return run_parts(parts)


def _part(name: str, store: str, ties: int, given: argparse.Namespace) -> list[Figure]:
    for package in STORES[store]:
        import_module(package)
    with ExitStack() as stack:
        base = stack.enter_context(page_server(given.messages, ties))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = None
        if store == "postgresql":
            from tests.support.postgres_server import postgres_server

            server = stack.enter_context(postgres_server(durable=True))
            database = stack.enter_context(server.database())
        bench = Bench(base, folder, database)
        return asyncio.run(_measure(bench, name, store, given.turns))


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
    """The contenders; each is a coroutine function that returns the number of its rows."""

    def __init__(self, base: str, folder: Path, database: str | None) -> None:
        self._base = base
        self._folder = folder
        self._database = database
        self._number = count()
        self.session = IottlySession(KEY, config=Config(base_url=base), limiter=RateLimiter())
        self._rows: list[Message] = []

    async def walk(self) -> int:
        """Walk in batches and take each payload as JSON."""
        rows = 0
        async with aclosing(self.session.project(PROJECT).messages.batches(DEVICE)) as found:
            async for batch in found:
                for message in batch.messages:
                    message.payload_json  # noqa: B018 - as a writer of files would
                rows += len(batch.messages)
        return rows

    async def collect(self) -> None:
        """Fetch the rows for the bulk loads into memory."""
        async with aclosing(self.session.project(PROJECT).messages.batches(DEVICE)) as found:
            async for batch in found:
                self._rows += batch.messages

    async def job(self, store: str) -> int:
        """Run the library's job."""
        place = NoStore() if store == "nothing" else self._new_place(store)
        job = IngestJob(self.session, project=PROJECT, devices=[DEVICE], store=place, concurrency=1)
        report = await job.run()
        return report.rows

    def bulk(self, store: str) -> Work:
        """The store's own bulk load; its input is prepared before the measurement."""
        if store == "postgresql":
            records = _records(self._rows)

            async def copy() -> int:
                return await _load_postgres(records, self._new_place(store))

            return copy
        load = _file_load(store, self._rows)

        async def work() -> int:
            return load(self._new_place(store))

        return work

    async def by_hand(self) -> int:
        """Run a loop written by hand: a page, `r.json()`, `executemany`."""
        import asyncpg

        place = self._new_place("postgresql")
        database, _, schema = place.partition("?schema=")
        connection = await asyncpg.connect(database)
        await _make(connection, schema)
        insert = (
            f"INSERT INTO {schema}.messages VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
            "ON CONFLICT DO NOTHING"
        )
        rows, start = 0, None
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            while True:
                async with session.get(url(self._base, start)) as response:
                    messages = (await response.json())["messages"]
                full = len(messages) == SIZE
                page = messages[: held_from(messages, time_of)] if full else messages
                await connection.executemany(insert, [_plain(message) for message in page])
                rows += len(page)
                if not full:
                    break
                start = messages[-1]["timestamp"]
        await connection.close()
        return rows

    def _new_place(self, store: str) -> str:
        """A place for a new store; the file stores of earlier turns are deleted."""
        number = next(self._number)
        if store == "postgresql":
            return f"{self._database}?schema=turn_{number}"
        for old in self._folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
        return str(self._folder / f"{number}.{store}")


async def _measure(bench: Bench, name: str, store: str, turns: int) -> list[Figure]:
    async with bench.session:
        contenders: dict[str, Work] = {"walk": bench.walk, "job": partial(bench.job, store)}
        if store != "nothing":
            await bench.collect()
            contenders["load"] = bench.bulk(store)
        if store == "postgresql":
            contenders["by hand"] = bench.by_hand
        # Without this, the garbage collector scans the rows of the bulk load in the job's time.
        gc.freeze()
        race = Race()
        try:
            await race.run(contenders, turns)
        finally:
            gc.unfreeze()
    print(f"  {name}:")
    for one in contenders:
        took = race.best(one, "wall")
        print(f"    {one:<8}  {1e6 / took:9,.0f} rows/s, {took:6.2f} µs a row at best")
    walk = race.ratios("job", "walk", "wall")
    figures = [_figure(f"{name}: job / walk", walk)]
    if store == "nothing":
        figures.append(race.figure(f"{name}: job / walk, CPU", "job", "walk", "cpu"))
    else:
        load = race.ratios("job", "load", "wall")
        figures[:0] = [_figure(f"{name}: job / the slower of walk and load", walk, load, 0.6)]
        figures.append(_figure(f"{name}: job / bulk load", load))
    if store == "postgresql":
        by_hand = race.ratios("job", "by hand", "wall")
        figures.append(_figure(f"{name}: job / loop by hand", by_hand, bound=5.0))
    return figures


def _figure(
    text: str,
    one: list[float],
    other: list[float] | None = None,
    bound: float | None = None,
) -> Figure:
    """The job's speed divided by another's; of two others, by the slower one's."""
    pairs = zip(one, other or one, strict=True)
    ratios = [1 / min(pair) for pair in pairs]
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Figure(text, median(ratios), bound, ">=", spread=(low, high))


# --- flushes of large fleets -------------------------------------------------------------

FLEETS: Final = (100, 10_000, 100_000)
FLUSHES: Final = 20
CHANGED: Final = 10  # devices a flush
_NO_QUOTA: Final = Quota(
    limit=None,
    remaining=None,
    resets_at=None,
    waiting=0,
    in_flight=0,
    refusals=0,
    source="unknown",
)


def _flushes() -> list[Figure]:
    """A flush and a look at the progress cost what has changed, whatever the fleet."""
    figures = list[Figure]()
    for store in ("jsonl", "parquet"):
        sizes = dict[int, float]()
        for devices in FLEETS:
            with tempfile.TemporaryDirectory() as folder:
                size, ms = asyncio.run(_flush(f"{folder}/x.{store}", devices))
            sizes[devices] = size
            print(f"  {store:<8} {devices:>7,} devices: {size:>12,.0f} bytes, {ms:7.2f} ms a flush")
        ratio = sizes[FLEETS[-1]] / sizes[FLEETS[0]]
        figures.append(Figure(f"{store}: bytes a flush, largest / smallest fleet", ratio, 1.5))
    for devices in FLEETS:
        meter = Meter(now=perf_counter, begun=perf_counter())
        known = {name: DeviceProgress(name, cursor=_cursor(name, 1)) for name in _names(devices)}
        meter.begin(known, start=0, end=9_999, server_ahead=0.0)
        took = list[float]()
        for _ in range(FLUSHES):
            begun = perf_counter()
            meter.snapshot(requests=0, quota=_NO_QUOTA, shares=TimeShares())
            took.append(perf_counter() - begun)
        print(f"  progress {devices:>7,} devices: {median(took) * 1e6:12,.0f} us a look")
    figures.append(
        Figure("progress of the largest fleet, a look", median(took) * 1e3, 1.0, unit="ms")
    )
    return figures


async def _flush(place: str, devices: int) -> tuple[float, float]:
    """The bytes that a flush of a few devices writes, and the milliseconds that it takes."""
    names, write = _names(devices), os.write
    written, took = 0, list[float]()

    def counted(fd: int, data: Any) -> int:
        nonlocal written
        done = write(fd, data)
        written += done
        return done

    store = open_store(place)
    await store.open()
    await store.begin("{}")
    await store.write(_group(names, 0))
    await store.flush()
    await store.write(_group(names[:CHANGED], 1))
    await store.flush()
    os.write = counted
    try:
        for number in range(FLUSHES):
            begun = perf_counter()
            await store.write(_group(names[:CHANGED], number + 2))
            await store.flush()
            took.append(perf_counter() - begun)
    finally:
        os.write = write
        await store.close()
    return written / FLUSHES, median(took) * 1e3


def _names(devices: int) -> list[str]:
    return [f"device-{number:06d}" for number in range(devices)]


def _group(names: list[str], number: int) -> Group:
    cursors = {name: _cursor(name, number) for name in names}
    return Group(messages=[], rejected=[], cursors=cursors)


def _cursor(device_id: str, number: int) -> Cursor:
    return Cursor(
        project_id=PROJECT,
        device_id=device_id,
        type="all",
        order="asc",
        start=0,
        end=9_999,
        remaining=((number, 9_999),),
        pinned_end=9_999,
        count=number,
    )


# --- bulk loads --------------------------------------------------------------------------


def _file_load(store: str, rows: list[Message]) -> Callable[[str], int]:
    """A function that loads the rows into a new file store at a path."""
    if store == "jsonl":
        return partial(_load_lines, lines_of(rows), bytes)
    if store == "jsonl.zst":
        from zstandard import ZstdCompressor

        return partial(_load_lines, lines_of(rows), ZstdCompressor().compress)
    load = _load_duckdb if store == "duckdb" else _load_parquet
    return partial(load, _table(rows))


def _load_lines(lines: bytes, pack: Callable[[bytes], bytes], place: str) -> int:
    with open(place, "wb") as file:
        file.write(pack(lines))
        file.flush()
        os.fsync(file.fileno())
    return lines.count(b"\n")


def _load_duckdb(table: pa.Table, place: str) -> int:
    import duckdb

    with duckdb.connect(place) as db:
        for statement in duckdb_schema.CREATE:
            db.execute(statement)
        db.register("incoming", table)
        db.execute("INSERT INTO messages SELECT * REPLACE (payload::JSON AS payload) FROM incoming")
    return int(table.num_rows)


def _load_parquet(table: pa.Table, place: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = table.column("timestamp").cast(pa.date32()).cast(pa.string())
    pq.write_to_dataset(
        table.append_column("date", days), place, partition_cols=["date"], compression="zstd"
    )
    for found in Path(place).rglob("*.parquet"):
        with open(found, "rb") as file:
            os.fsync(file.fileno())
    return int(table.num_rows)


async def _load_postgres(records: list[tuple[Any, ...]], place: str) -> int:
    import asyncpg

    database, _, schema = place.partition("?schema=")
    connection = await asyncpg.connect(database)
    await _make(connection, schema)
    await connection.copy_records_to_table(
        "messages", schema_name=schema, columns=postgres_schema.COLUMNS, records=records
    )
    await connection.close()
    return len(records)


async def _make(connection: Any, schema: str) -> None:
    for statement in postgres_schema.CREATE:
        await connection.execute(statement.format(schema=schema))


def _records(rows: list[Message]) -> list[tuple[Any, ...]]:
    return [
        (
            row.device_id,
            row.timestamp,
            row.device_timestamp,
            row.type,
            row.channel,
            row.payload_json.decode(),
            None,
            row.key,
        )
        for row in rows
    ]


def _table(rows: list[Message]) -> pa.Table:
    import pyarrow as pa

    columns = list(zip(*_records(rows), strict=True))
    time = pa.timestamp("ms")
    types = [pa.string(), time, time, *[pa.string()] * 5]
    naive = [
        [value.replace(tzinfo=None) for value in column] if place in (1, 2) else list(column)
        for place, column in enumerate(columns)
    ]
    arrays = [pa.array(column, kind) for column, kind in zip(naive, types, strict=True)]
    return pa.table(dict(zip(postgres_schema.COLUMNS, arrays, strict=True)))


def _plain(message: dict[str, Any]) -> tuple[Any, ...]:
    payload = json.dumps(message["payload"])
    return (
        message["from"],
        datetime.fromisoformat(message["timestamp"]).replace(tzinfo=UTC),
        datetime.fromisoformat(message["devicetimestamp"]).replace(tzinfo=UTC),
        message["type"],
        message.get("channel"),
        payload,
        None,
        f"{message['from']}/{message['timestamp']}",
    )
