"""Typed columns that a job makes of payloads, in the view ``wide`` or in Parquet files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from iottly_async import IottlySession
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import IngestJob, IngestReport
from tests.support.postgres_server import execute, fetch

COLUMNS = {
    "celsius": "room.celsius",
    "door": "door",
    "open": "open",
    "volts": "phases[1].volts",
    "echoed": "echo.content",
    "room": "room",
    "nothing": "no.such.path",
}
PAYLOADS = [
    {"room": {"celsius": 21, "n": None}, "door": "front", "open": True},
    {"room": {"celsius": 21.5}, "door": None, "phases": [{}, {"volts": 230}]},
    {"room": {"celsius": "warm"}, "door": 7, "open": "no", "phases": {"volts": 1}},
    {"room": "none", "echo.content": "hi è \" ' \\", "open": False},
    {"echo": {"content": "nested"}, "phases": [1], "room": {"celsius": True}},
    "a text",
    [1],
]
ROWS = [
    (21.0, "front", True, None, None),
    (21.5, None, None, 230.0, None),
    (None, None, None, None, None),
    (None, None, False, None, "hi è \" ' \\"),
    (None, None, None, None, "nested"),
    (None, None, None, None, None),
    (None, None, None, None, None),
]
CLASHES = {"celsius": 2, "door": 1, "open": 1, "room": 1}


@pytest.fixture(params=["duckdb", "parquet", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A place for a store that makes columns."""
    if request.param != "postgresql":
        return tmp_path / f"telemetry.{request.param}"
    url: str = request.getfixturevalue("database")
    return url


def rows_of(place: Path | str, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of the view or the files, in order of time."""
    chosen = ", ".join(f'"{column}"' for column in columns)
    if isinstance(place, str):
        return fetch(place, f"SELECT {chosen} FROM iottly.wide ORDER BY timestamp, key")
    if place.suffix == ".parquet":
        query = f"SELECT {chosen} FROM '{place}/*.parquet' ORDER BY timestamp, key"
        with duckdb.connect() as db:
            return db.execute(query).fetchall()
    with duckdb.connect(str(place), read_only=True) as db:
        return db.execute(f"SELECT {chosen} FROM wide ORDER BY timestamp, key").fetchall()


async def run(
    session: IottlySession, emulator: Emulator, place: Path | str, columns: Any = None
) -> IngestReport:
    """Run a job for the first device."""
    job = IngestJob(
        session,
        project=emulator.project_id,
        store=place,
        devices=emulator.device_ids[:1],
        columns=columns,
    )
    return await job.run()


@pytest.fixture
async def emulator() -> Any:
    """A device without messages."""
    async with Emulator(devices=1, messages=0) as emulator:
        yield emulator


def append(emulator: Emulator, payloads: Sequence[Any]) -> None:
    """Append messages, one a second, which the next job sees."""
    for payload in payloads:
        emulator.clock.offset += 1
        emulator.append(emulator.device_ids[0], [{"payload": payload}])
    emulator.clock.offset += 3600


async def test_columns_have_types(
    session: IottlySession, emulator: Emulator, place: Path | str
) -> None:
    """A value of another type than the first one is null, and counted in the report."""
    append(emulator, PAYLOADS)
    report = await run(session, emulator, place, COLUMNS)
    assert report.clashes == CLASHES
    assert report.as_dict()["clashes"] == CLASHES
    assert rows_of(place, "celsius", "door", "open", "volts", "echoed") == ROWS
    rooms = [None if room is None else json.loads(room) for (room,) in rows_of(place, "room")]
    assert rooms[3:] == [None, {"celsius": True}, None, None]
    with pytest.raises(Exception, match="nothing"):
        rows_of(place, "nothing")


async def test_columns_stay(session: IottlySession, emulator: Emulator, place: Path | str) -> None:
    """A later run needs not name them; it may add others, whose types stored rows show."""
    append(emulator, PAYLOADS[:2])
    await run(session, emulator, place, {"celsius": "room.celsius"})
    if isinstance(place, str):
        execute(place, "CREATE VIEW mine AS SELECT celsius FROM iottly.wide")
    append(emulator, [{"room": {"celsius": 3}}, {"room": {"celsius": "x"}}])
    assert (await run(session, emulator, place)).clashes == {"celsius": 1}
    await run(session, emulator, place, {"door": "door"})  # nothing new arrives
    assert rows_of(place, "celsius", "door") == [
        (21.0, "front"),
        (21.5, None),
        (3.0, None),
        (None, None),
    ]


async def test_a_column_may_get_another_path(
    session: IottlySession, emulator: Emulator, place: Path | str
) -> None:
    """Its type is then found anew."""
    append(emulator, PAYLOADS[:2])
    await run(session, emulator, place, {"a": "room.celsius", "b": "open"})
    await run(session, emulator, place, {"a": "door"})
    assert rows_of(place, "a", "b") == [("front", True), (None, None)]


async def test_numbers_of_any_size(
    session: IottlySession, emulator: Emulator, place: Path | str
) -> None:
    """They are doubles; null if they are out of a double's range."""
    values = [1e-310, -1e300, 2**53, 2**64, -(2**70), 0]
    append(emulator, [{"n": value} for value in (*values, 10**400, -(10**400))])
    await run(session, emulator, place, {"n": "n"})
    *found, huge, least = [value for (value,) in rows_of(place, "n")]
    assert (huge, least) == (None, None)
    assert found[1:] == [float(value) for value in values[1:]]
    assert abs(found[0]) <= 1e-300


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"payload": "a"}, "already"),
        ({"KEY": "a"}, "already"),
        ({"a": "x", "A": "y"}, "already"),
        ({"a b": "x"}, "cannot name"),
        ({'a"': "x"}, "cannot name"),
        ({"": "x"}, "cannot name"),
        ({"a": ""}, "no path"),
        ({"a": "b..c"}, "no path"),
        ({"a": "b[x]"}, "no path"),
        ({"a": "b'; DROP TABLE messages; --"}, "no path"),
        ({"a": 'b"'}, "no path"),
        ({"a": "b\\"}, "no path"),
        ({"a": None}, "no path"),
        (["a"], "must be a mapping"),
    ],
)
async def test_bad_columns_are_refused(
    session: IottlySession, emulator: Emulator, tmp_path: Path, columns: Any, error: str
) -> None:
    """Before anything is sent or opened."""
    emulator.forget_requests()
    with pytest.raises(ConfigurationError, match=f"columns.*{error}"):
        await run(session, emulator, tmp_path / "x.duckdb", columns)
    assert not emulator.requests


async def test_odd_names_of_members(
    session: IottlySession, emulator: Emulator, place: Path | str
) -> None:
    """A path names them as they are."""
    odd = {"a*": 1, "$": 2, "{x}": 3, "#-1 %": 4, "è": 5, "@": 6}
    append(emulator, [odd])
    await run(session, emulator, place, {f"c{at}": name for at, name in enumerate(odd)})
    assert rows_of(place, *[f"c{at}" for at in range(len(odd))]) == [(1, 2, 3, 4, 5, 6)]


async def test_stores_without_columns_refuse_them(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """The error says which stores make columns."""
    with pytest.raises(ConfigurationError, match="take a DuckDB, PostgreSQL or Parquet store"):
        await run(session, emulator, tmp_path / "x.jsonl", {"a": "b"})


async def test_a_view_of_the_users_own_is_kept(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """A DuckDB file may have a view of that name: it is not replaced."""
    path = tmp_path / "telemetry.duckdb"
    append(emulator, [{"n": 1}])
    await run(session, emulator, path)
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE VIEW wide AS SELECT 1 AS mine")
    with pytest.raises(Exception, match="wide"):
        await run(session, emulator, path, {"n": "n"})
    assert rows_of_view(path) == [(1,)]


def rows_of_view(path: Path) -> list[tuple[Any, ...]]:
    """The rows of the user's own view."""
    with duckdb.connect(str(path), read_only=True) as db:
        return db.execute("SELECT mine FROM wide").fetchall()
