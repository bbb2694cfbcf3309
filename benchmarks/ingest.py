"""Ingestion: rows a second into each store, against the walk alone and the store alone.

All fetch the same pages from a server process, one device, a request at a time, and end
with all rows durable. A job is held against

* the walk without a store;
* the store's own bulk load of the same rows, which lie in memory in the form it likes best;
* a loop as one writes it by hand: aiohttp, `r.json()`, `executemany` of each page.

A job can be no faster than the slower of walk and load, which share the machine with the
server of pages (and PostgreSQL's); the figure is what of that speed it reaches. Rows go
into tables with the same columns and indexes. Times are wall-clock.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import aiohttp
import asyncpg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from zstandard import ZstdCompressor

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.ingest import IngestJob
from iottly_async.ingest.stores.duckdb import schema as duckdb_schema
from iottly_async.ingest.stores.jsonl.lines import lines_of
from iottly_async.ingest.stores.postgres import schema as postgres_schema
from iottly_async.models import Message
from tests.support.postgres_server import postgres_server

from .clients import HEADERS, KEY, url
from .pages import DEVICE, PROJECT, SIZE
from .pageserver import page_server
from .pairing import Race, Work
from .table import Figure

FILES: Final = ("jsonl", "jsonl.zst", "duckdb", "parquet")
STORES: Final = (*FILES, "postgresql")


def main(argv: list[str]) -> list[Figure]:
    """Measure the stores that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ingest", description=__doc__)
    parser.add_argument("--messages", type=int, default=99_001, help="messages a run")
    parser.add_argument("--turns", type=int, default=7, help="turns, each of one paired ratio")
    parser.add_argument("--store", choices=STORES, action="append", help="only these stores")
    given = parser.parse_args(argv)
    with page_server(given.messages) as base, tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if "postgresql" not in (given.store or STORES):
            return asyncio.run(_measure(Bench(base, place, None), given))
        with postgres_server(durable=True) as server, server.database() as database:
            return asyncio.run(_measure(Bench(base, place, database), given))


class Bench:
    """The contenders, each a coroutine function that returns how many rows it stored."""

    def __init__(self, base: str, folder: Path, database: str | None) -> None:
        self._base = base
        self._folder = folder
        self._database = database
        self._number = count()
        self.session = IottlySession(KEY, config=Config(base_url=base), limiter=RateLimiter())
        self._rows: list[Message] = []

    async def walk(self) -> int:
        """Every message in batches, its payload taken as JSON."""
        rows = 0
        async with aclosing(self.session.project(PROJECT).messages.batches(DEVICE)) as found:
            async for batch in found:
                for message in batch.messages:
                    message.payload_json  # noqa: B018 - as who writes it to a file does
                rows += len(batch.messages)
        return rows

    async def collect(self) -> None:
        """Fetch the rows that the bulk loads have in memory."""
        async with aclosing(self.session.project(PROJECT).messages.batches(DEVICE)) as found:
            async for batch in found:
                self._rows += batch.messages

    async def job(self, store: str) -> int:
        """The library's job."""
        place = self._fresh(store)
        job = IngestJob(self.session, project=PROJECT, devices=[DEVICE], store=place, concurrency=1)
        report = await job.run()
        return report.rows

    def bulk(self, store: str) -> Work:
        """The store's own bulk load; what it takes is made beforehand."""
        load: Callable[[str], int] = {
            "jsonl": partial(_load_lines, lines_of(self._rows), bytes),
            "jsonl.zst": partial(_load_lines, lines_of(self._rows), ZstdCompressor().compress),
            "duckdb": partial(_load_duckdb, _table(self._rows)),
            "parquet": partial(_load_parquet, _table(self._rows)),
        }.get(store, len)
        records = _records(self._rows) if store == "postgresql" else []

        async def work() -> int:
            place = self._fresh(store)
            if store == "postgresql":
                return await _load_postgres(records, place)
            return load(place)

        return work

    async def by_hand(self) -> int:
        """A loop as one writes it: a page, `r.json()`, `executemany`."""
        place = self._fresh("postgresql")
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
                page = messages[:-1] if full else messages
                await connection.executemany(insert, [_plain(message) for message in page])
                rows += len(page)
                if not full:
                    break
                start = messages[-1]["timestamp"]
        await connection.close()
        return rows

    def _fresh(self, store: str) -> str:
        """A place where nothing is yet; file stores of earlier turns go."""
        number = next(self._number)
        if store == "postgresql":
            return f"{self._database}?schema=turn_{number}"
        for old in self._folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
        return str(self._folder / f"{number}.{store}")


async def _measure(bench: Bench, given: argparse.Namespace) -> list[Figure]:
    async with bench.session:
        await bench.collect()
        stores = given.store or STORES
        contenders: dict[str, Work] = {"walk": bench.walk}
        for store in stores:
            contenders[f"job: {store}"] = partial(bench.job, store)
            contenders[f"load: {store}"] = bench.bulk(store)
        if "postgresql" in stores:
            contenders["by hand"] = bench.by_hand
        # The rows of the bulk loads are not to be looked through again in the jobs' time.
        gc.freeze()
        race = Race()
        await race.run(contenders, given.turns)
    for name in contenders:
        took = race.best(name, "wall")
        print(f"  {name:<18}  {1e6 / took:9,.0f} rows/s, {took:6.2f} µs a row at best")
    figures = []
    for store in stores:
        walk = race.ratios(f"job: {store}", "walk", "wall")
        load = race.ratios(f"job: {store}", f"load: {store}", "wall")
        figures += [
            _figure(f"{store}: job / the slower of walk and load", walk, load, 0.6),
            _figure(f"{store}: job / walk", walk),
            _figure(f"{store}: job / bulk load", load),
        ]
    if "postgresql" in stores:
        hand = race.ratios("job: postgresql", "by hand", "wall")
        figures.append(_figure("postgresql: job / loop by hand", hand, bound=5.0))
    return figures


def _figure(
    text: str,
    one: list[float],
    other: list[float] | None = None,
    bound: float | None = None,
) -> Figure:
    """Speeds as a multiple of another's; of two others, of the slower."""
    pairs = zip(one, other or one, strict=True)
    ratios = [1 / min(pair) for pair in pairs]
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Figure(text, median(ratios), bound, ">=", spread=(low, high))


# --- bulk loads --------------------------------------------------------------------------


def _load_lines(lines: bytes, pack: Callable[[bytes], bytes], place: str) -> int:
    with open(place, "wb") as file:
        file.write(pack(lines))
        file.flush()
        os.fsync(file.fileno())
    return lines.count(b"\n")


def _load_duckdb(table: pa.Table, place: str) -> int:
    with duckdb.connect(place) as db:
        for statement in duckdb_schema.CREATE:
            db.execute(statement)
        db.register("incoming", table)
        db.execute("INSERT INTO messages SELECT * REPLACE (payload::JSON AS payload) FROM incoming")
    return int(table.num_rows)


def _load_parquet(table: pa.Table, place: str) -> int:
    days = table.column("timestamp").cast(pa.date32()).cast(pa.string())
    pq.write_to_dataset(
        table.append_column("date", days), place, partition_cols=["date"], compression="zstd"
    )
    for found in Path(place).rglob("*.parquet"):
        with open(found, "rb") as file:
            os.fsync(file.fileno())
    return int(table.num_rows)


async def _load_postgres(records: list[tuple[Any, ...]], place: str) -> int:
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
