"""The devices of a store: names beside ids, and when each device was seen."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest

from iottly_async import IottlySession
from iottly_async.emulator import REFERENCE_END, Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import IngestJob
from iottly_async.ingest.coverage import survey
from tests.support.postgres_server import execute, fetch

COLUMNS = "device_id, name, status, agent_version, first_seen, last_seen"
JOINED = "SELECT name, count(*) FROM messages JOIN devices USING (device_id) GROUP BY 1 ORDER BY 1"


class Known(NamedTuple):
    """A device as a store has it."""

    device_id: str
    name: str | None
    status: str | None
    agent_version: str | None
    first_seen: datetime | None
    last_seen: datetime | None


def devices_of(place: Path | str) -> list[Known]:
    """The devices of a store, in order of their ids."""
    if isinstance(place, str):
        rows = fetch(place, f"SELECT {COLUMNS} FROM iottly.devices ORDER BY 1")
        return [Known(*row) for row in rows]
    if place.suffix == ".duckdb":
        with duckdb.connect(str(place), read_only=True) as db:
            rows = db.execute(f"SELECT {COLUMNS} FROM devices ORDER BY 1").fetchall()
        return [Known(*row) for row in rows]
    if place.suffix == ".parquet":
        found = pq.read_table(f"{place}.ingest/devices.parquet").to_pylist()
        return [Known(**row) for row in found]
    lines = Path(f"{place}.devices").read_bytes()
    return msgspec.json.Decoder(Known).decode_lines(
        b"\n".join(as_array(msgspec.json.decode(line)) for line in lines.splitlines())
    )


async def covered_names(place: Path | str) -> dict[str, str | None]:
    """The name of each device in the coverage of a store, by id."""
    return {device.device_id: device.name for device in (await survey(place)).devices}


def contents_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files in a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replace(file: str, text: str) -> None:
    """Replace the content of a file that exists."""
    assert os.path.isfile(file)
    Path(file).write_text(text)


def as_array(line: dict[str, Any]) -> bytes:
    """The line's values in the order of `Known`. It has no other members."""
    assert list(line) == COLUMNS.split(", ")
    return msgspec.json.encode(list(line.values()))


async def expected(session: IottlySession, emulator: Emulator) -> list[Known]:
    """What the service says of the devices, and the times of the emulator's messages."""
    known = []
    for device in await session.project(emulator.project_id).devices.list():
        times = [
            datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=stored["timestamp_ms"])
            for stored in emulator.stored(device.id)
        ]
        known.append(
            Known(
                device.id,
                device.name,
                device.operating_status,
                device.agent_version,
                min(times, default=None),
                max(times, default=None),
            )
        )
    return sorted(known)


async def run(session: IottlySession, emulator: Emulator, place: Path | str, **how: Any) -> None:
    """Run a job."""
    await IngestJob(session, project=emulator.project_id, store=place, **how).run()


@pytest.fixture
def each_kind(tmp_path: Path, database: str) -> list[Path | str]:
    """A place for a store of each kind."""
    files = [tmp_path / f"telemetry.{kind}" for kind in ("duckdb", "jsonl", "parquet")]
    return [*files, database]


async def test_every_store_has_the_devices(
    session: IottlySession, emulator: Emulator, each_kind: list[Path | str]
) -> None:
    """With names, and the times of their first and last messages, also after a second job."""
    project = session.project(emulator.project_id)
    for place in each_kind:
        await run(session, emulator, place)
        assert devices_of(place) == await expected(session, emulator), place
    await project.devices.rename(emulator.device_ids[0], "Freezer è 1")
    emulator.clock.offset = 3600
    emulator.append(emulator.device_ids[1], 3)
    emulator.clock.offset = 7200
    for place in each_kind:
        await run(session, emulator, place)
        found = devices_of(place)
        assert found == await expected(session, emulator), place
        assert "Freezer è 1" in [device.name for device in found]


async def test_coverage_has_the_names(
    session: IottlySession, emulator: Emulator, each_kind: list[Path | str]
) -> None:
    """Once a job has listed the devices. Before, it has their ids alone."""
    listed = await session.project(emulator.project_id).devices.list()
    one = emulator.device_ids[1]
    for place in each_kind:
        await run(session, emulator, place, devices=[one])
        assert await covered_names(place) == {one: None}, place
        await run(session, emulator, place)
        assert await covered_names(place) == {one.id: one.name for one in listed}, place


async def test_a_job_of_some_devices_keeps_the_names(
    session: IottlySession, emulator: Emulator, each_kind: list[Path | str]
) -> None:
    """It lists none, and asks for no more. Before a job has listed them, there are ids alone."""
    one = emulator.device_ids[0]
    for place in each_kind[:2]:
        emulator.forget_requests()
        await run(session, emulator, place, devices=[one])
        assert not [each for each in emulator.requests if each.path.endswith("devices/props")]
        (known,) = devices_of(place)
        assert (known.device_id, known.name) == (one, None)
        assert known.last_seen is not None
        await run(session, emulator, place)
        before = devices_of(place)
        await run(session, emulator, place, devices=[one])
        assert devices_of(place) == before == await expected(session, emulator)


async def test_no_licence_token_is_stored(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """The service's list of devices has tokens; the files have none."""
    devices = await session.project(emulator.project_id).devices.list()
    tokens = [device.token.encode() for device in devices if device.token]
    assert tokens
    for kind in ("duckdb", "jsonl", "parquet"):
        await run(session, emulator, tmp_path / f"telemetry.{kind}")
    for name, data in contents_of(tmp_path).items():
        assert not any(token in data for token in tokens), name


async def test_names_join_in_one_line(
    session: IottlySession, emulator: Emulator, tmp_path: Path, database: str
) -> None:
    """`messages JOIN devices USING (device_id)` counts the messages by name, in each store."""
    counts = sorted(
        (device.name, len(emulator.stored(device.id)))
        for device in await session.project(emulator.project_id).devices.list()
    )
    path = tmp_path / "telemetry.duckdb"
    await run(session, emulator, path)
    with duckdb.connect(str(path), read_only=True) as db:
        assert db.execute(JOINED).fetchall() == counts
    await run(session, emulator, database)
    named = JOINED.replace("messages", "iottly.messages").replace("JOIN ", "JOIN iottly.")
    assert fetch(database, named) == counts
    path = tmp_path / "telemetry.parquet"
    await run(session, emulator, path)
    rows = f"read_parquet('{path}/**/*.parquet') AS messages"
    files = f"read_parquet('{path}.ingest/devices*.parquet') AS devices"
    with duckdb.connect() as db:
        joined = JOINED.replace("messages", rows, 1).replace("devices", files, 1)
        assert db.execute(joined).fetchall() == counts


async def test_the_times_do_not_depend_on_the_file(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """The cursors know when a device was first seen: a run that was killed has lost nothing."""
    path = tmp_path / "telemetry.jsonl"
    await run(session, emulator, path, end=REFERENCE_END - timedelta(days=10))
    os.unlink(f"{path}.devices")
    await run(session, emulator, path)
    assert devices_of(path) == await expected(session, emulator)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
async def test_coverage_says_which_file_of_devices_is_damaged(
    session: IottlySession, emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    """The error names the file. A store without the file has no names."""
    place = tmp_path / f"telemetry.{kind}"
    await run(session, emulator, place)
    file = f"{place}.devices" if kind == "jsonl" else f"{place}.ingest/devices.parquet"
    replace(file, "my own notes\n")
    with pytest.raises(ConfigurationError, match=r"devices.* is of something else"):
        await survey(place)
    os.unlink(file)
    assert {*(await covered_names(place)).values()} == {None}


async def test_a_file_of_something_else_is_named(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """A file with the name of the devices' is not overwritten."""
    (tmp_path / "telemetry.jsonl.devices").write_text("my own notes\n")
    (tmp_path / "telemetry.parquet.ingest").mkdir()
    (tmp_path / "telemetry.parquet.ingest" / "devices.parquet").write_text("my own notes\n")
    for kind in ("jsonl", "parquet"):
        with pytest.raises(Exception, match=r"devices.* is of something else"):
            await run(session, emulator, tmp_path / f"telemetry.{kind}")
    assert (tmp_path / "telemetry.jsonl.devices").read_text() == "my own notes\n"


OLD_DEVICES = """
    DROP VIEW iottly.devices;
    DROP TABLE iottly.ingest_devices, iottly.ingest_columns;
    CREATE VIEW iottly.devices AS
    SELECT device_id, count(*) AS messages, min(timestamp) AS first, max(timestamp) AS last
    FROM iottly.messages GROUP BY device_id;
    CREATE VIEW public.mine AS SELECT device_id, last FROM iottly.devices;
    UPDATE iottly.ingest_store SET version = 2;
"""


async def test_a_database_of_the_version_before_gets_the_names(
    session: IottlySession, emulator: Emulator, database: str
) -> None:
    """The next job adds them. A user's own view of `devices` goes on."""
    await run(session, emulator, database)
    execute(database, OLD_DEVICES)
    assert {*(await covered_names(database)).values()} == {None}
    await run(session, emulator, database)
    assert devices_of(database) == await expected(session, emulator)
    mine = fetch(database, "SELECT last FROM public.mine ORDER BY device_id")
    assert [last for (last,) in mine] == [one.last_seen for one in devices_of(database)]
