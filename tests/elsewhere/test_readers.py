"""The readers that people use, on what each store holds: the same rows, with times in UTC."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pytest
from pyarrow.dataset import dataset
from pyarrow.json import read_json

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import EmulatorThread
from iottly_async.ingest import Group, IngestJob, Rejected
from iottly_async.ingest.partitions import (
    Partition,
    PartitionManifest,
    PartitionSource,
    plan,
    run_partition,
)
from iottly_async.ingest.stores import ParquetStore
from iottly_async.ingest.stores.parquet import store as parquet
from tests.ingest.stores.test_parquet import message
from tests.support.postgres_server import postgres_server
from tests.support.stored_rows import Row, canonical, truth_of

Rows = Iterable[Mapping[str, Any]]

pl: Final[Any] = pytest.importorskip("polars", reason="pip install polars")
pd: Final[Any] = pytest.importorskip("pandas", reason="pip install pandas")

LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
TIMES: Final = ["timestamp", "device_timestamp"]
IN_DUCKDB: Final = "SELECT * FROM messages"
IN_POSTGRES: Final = (
    "SELECT device_id, timestamp, device_timestamp, type, channel, payload::text AS payload "
    "FROM iottly.messages"
)
FROM_LINES: Final = (
    "SELECT * FROM read_json($1, format = 'newline_delimited', columns = {device_id: 'VARCHAR', "
    "timestamp: 'TIMESTAMPTZ', device_timestamp: 'TIMESTAMPTZ', type: 'VARCHAR', "
    "channel: 'VARCHAR', payload: 'JSON'})"
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """A service with devices of each kind, and messages of several days."""
    with EmulatorThread(devices=3, messages=3000) as emulator:
        yield emulator


async def fill(emulator: EmulatorThread, store: Path | str | ParquetStore) -> None:
    """Run a job into a store."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
        await IngestJob(session, project=emulator.project_id, store=store).run()


def assert_equal(rows: Rows, emulator: EmulatorThread) -> None:
    """The rows are the service's messages, and each time is in UTC."""
    assert Counter(map(row_of, rows)) == normal_truth(emulator)


def normal_truth(emulator: EmulatorThread) -> Counter[Row]:
    """The service's messages in the form of `row_of`."""
    truth = truth_of(emulator).elements()
    return Counter(row._replace(payload=normal(row.payload)) for row in truth)


def row_of(row: Mapping[str, Any]) -> Row:
    """A reader's row in the form of `truth_of`."""
    payload = row["payload"]
    return Row(
        row["device_id"],
        milliseconds(row["timestamp"]),
        None if pd.isna(row["device_timestamp"]) else milliseconds(row["device_timestamp"]),
        row["type"],
        None if pd.isna(row["channel"]) else row["channel"],
        normal(payload if isinstance(payload, str) else json.dumps(payload)),
    )


def normal(payload: str) -> str:
    """A payload in one form. Readers that make a column of it give each row all its names."""
    return canonical(json.dumps(without_nulls(json.loads(payload))))


def without_nulls(value: Any) -> Any:
    """A value of JSON without the members that are null or hold nothing."""
    if not isinstance(value, dict):
        return value
    members = {name: without_nulls(each) for name, each in value.items()}
    return {name: each for name, each in members.items() if each not in (None, {})}


def milliseconds(time: datetime) -> int:
    """The time since the epoch. The time must be in UTC."""
    assert time.utcoffset() == timedelta(0)
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def in_duckdb(query: str, *values: str, path: Path | None = None) -> Any:
    """A query, with times in UTC."""
    db = duckdb.connect(":memory:" if path is None else str(path), read_only=path is not None)
    db.execute("SET TimeZone = 'UTC'")
    return db.sql(query, params=list(values))


def arrow_rows(table: pa.Table) -> Rows:
    """The rows of a table; times that are texts are parsed."""
    for name in TIMES:
        if table.schema.field(name).type == pa.string():
            times = table[name].cast(pa.timestamp("ms", tz="UTC"))
            table = table.set_column(table.schema.get_field_index(name), name, times)
    rows: Rows = table.to_pylist()
    return rows


def polars_lines(frame: Any) -> Rows:
    """The rows of JSON lines in polars."""
    rows: Rows = frame.with_columns(pl.col(TIMES).str.to_datetime(time_zone="UTC")).rows(named=True)
    return rows


def pandas_lines(path: Path) -> Rows:
    """The rows of JSON lines in pandas."""
    frame = pd.read_json(path, lines=True, dtype=False, precise_float=True)
    frame[TIMES] = frame[TIMES].apply(pd.to_datetime, utc=True)
    rows: Rows = frame.to_dict("records")
    return rows


# polars infers a type from the first 100 rows, where all may be null.
AS_TEXT: Final = dict.fromkeys([*TIMES, "type", "channel", "payload", "extra"], pl.String)
READERS: Final[dict[str, dict[str, Callable[[Path], Rows]]]] = {
    "parquet": {
        "polars, read": lambda path: pl.read_parquet(path).rows(named=True),
        "polars, scan": lambda path: pl.scan_parquet(path).collect().rows(named=True),
        "pandas": lambda path: pd.read_parquet(path).to_dict("records"),
        "pyarrow": lambda path: arrow_rows(dataset(path).to_table()),
        "duckdb": lambda path: arrow_rows(
            in_duckdb("SELECT * FROM read_parquet($1)", f"{path}/**/*.parquet").to_arrow_table()
        ),
    },
    "duckdb": {
        "polars": lambda path: in_duckdb(IN_DUCKDB, path=path).pl().rows(named=True),
        "pandas": lambda path: in_duckdb(IN_DUCKDB, path=path).df().to_dict("records"),
        "pyarrow": lambda path: arrow_rows(in_duckdb(IN_DUCKDB, path=path).to_arrow_table()),
    },
    "jsonl": {
        "polars, read": lambda path: polars_lines(pl.read_ndjson(path, schema_overrides=AS_TEXT)),
        "polars, scan": lambda path: polars_lines(
            pl.scan_ndjson(path, schema_overrides=AS_TEXT).collect()
        ),
        "pandas": pandas_lines,
        "pyarrow": lambda path: arrow_rows(dataset(path, format="json").to_table()),
        "duckdb": lambda path: arrow_rows(in_duckdb(FROM_LINES, str(path)).to_arrow_table()),
    },
    "jsonl.zst": {
        "polars, read": lambda path: polars_lines(pl.read_ndjson(path, schema_overrides=AS_TEXT)),
        "pandas": pandas_lines,
        "pyarrow": lambda path: arrow_rows(read_json(pa.input_stream(path, compression="zstd"))),
        "duckdb": lambda path: arrow_rows(in_duckdb(FROM_LINES, str(path)).to_arrow_table()),
    },
}


@pytest.mark.parametrize("suffix", sorted(READERS))
async def test_files(emulator: EmulatorThread, tmp_path: Path, suffix: str) -> None:
    """Every reader finds every message of the service, also after a second job."""
    path = tmp_path / f"telemetry.{suffix}"
    for _ in range(2):
        await fill(emulator, path)
        for read in READERS[suffix].values():
            assert_equal(read(path), emulator)


async def test_the_folder_while_a_job_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """polars reads a Parquet store as it is while a job holds it, with rejected rows beside it."""
    monkeypatch.setattr(parquet, "READABLE_AFTER", 0)
    monkeypatch.setattr(parquet, "_REST", 0)
    path = tmp_path / "telemetry.parquet"
    bad = Rejected(message=message("a", 1, b"\xff"), reason="because")
    store = ParquetStore(path)
    await store.open()
    await store.begin("a plan")
    for number in (1, 2):
        await store.write(Group(messages=[message("a", number)], rejected=[bad], cursors={}))
        await store.flush()
        assert pl.scan_parquet(path).select(pl.len()).collect().item() == number
        assert pl.read_parquet(path).height == number
    await store.close()


async def test_the_folder_of_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reader finds what complete partitions hold, while another one is run, and with a
    rejected row."""
    with EmulatorThread(devices=3, messages=600) as emulator:
        monkeypatch.setenv("IOTTLY_API_KEY", emulator.api_key)
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        truth = normal_truth(emulator)
        emulator.append_raw(emulator.device_ids[0], ["no message"], timestamp=LONG_AGO)
        partitions = await plan([PartitionSource(project=emulator.project_id)], tmp_path)

        def run(partition: Partition) -> Awaitable[PartitionManifest]:
            return run_partition(partition, tmp_path, format="parquet", limiter=RateLimiter())

        *complete, last = partitions
        manifests = [await run(one) for one in complete]
        assert sum(one.rejected for one in manifests) == 1
        emulator.fault("stall", route="paginated", skip=1, count=1)
        seen = len(emulator.requests)
        under_way = asyncio.ensure_future(run(last))
        await asyncio.to_thread(emulator.until_requests, seen + 2)
        for read in READERS["parquet"].values():
            assert len(list(read(tmp_path))) == sum(one.rows for one in manifests)
        emulator.clear_faults()
        await under_way
        for read in READERS["parquet"].values():
            assert Counter(map(row_of, read(tmp_path))) == truth


async def test_a_folder_for_each_device(emulator: EmulatorThread, tmp_path: Path) -> None:
    """polars has the column of the folders' names, and filters by it."""
    path = tmp_path / "telemetry.parquet"
    await fill(emulator, ParquetStore(path, partition_by="device"))
    device = emulator.device_ids[0]
    own = pl.scan_parquet(path).filter(pl.col("device") == device).collect()
    assert own.height == len(emulator.stored(device))
    assert own["project_id"].unique().to_list() == [emulator.project_id]
    assert own["device_id"].unique().to_list() == [device]


async def test_postgres(emulator: EmulatorThread) -> None:
    """polars and pandas read the database through ADBC."""
    adbc = pytest.importorskip(
        "adbc_driver_postgresql.dbapi", reason="pip install adbc-driver-postgresql"
    )
    with postgres_server() as server, server.database() as url:
        await fill(emulator, url)
        found = pl.read_database_uri(IN_POSTGRES, url, engine="adbc")
        assert_equal(found.rows(named=True), emulator)
        with adbc.connect(url) as connection:
            frame = pd.read_sql(IN_POSTGRES, connection)
        assert_equal(frame.to_dict("records"), emulator)
