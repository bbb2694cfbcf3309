"""Fleets that are kept in a file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from iottly_async.emulator import Emulator
from iottly_async.emulator.rows import Row, make_row
from iottly_async.emulator.store import MessageStore


async def test_a_file_is_found_again(tmp_path: Path) -> None:
    """A second start with the same fleet restores what the first left, and can reset it."""
    path = tmp_path / "fleet.db"
    async with Emulator(devices=2, messages=50, database=path) as first:
        device = first.device_ids[0]
        seeded = first.stored(device)
        first.append(device, [{"payload": "kept"}])
        stored = first.stored(device)
    async with Emulator(devices=2, messages=50, database=path) as second:
        assert second.stored(device) == stored
        assert second.append(device) == [52]
        second.reset()
        assert second.stored(device) == seeded


async def test_retention_is_undone_by_a_reset(tmp_path: Path) -> None:
    """Messages that expired before a restart are back after a reset."""
    path = tmp_path / "fleet.db"
    async with Emulator(devices=1, messages=50, database=path) as first:
        stored = first.stored(first.device_ids[0])
        first.expire(stored[30]["timestamp"])
    async with Emulator(devices=1, messages=50, database=path) as second:
        assert len(second.stored(second.device_ids[0])) < 50
        second.reset()
        assert second.stored(second.device_ids[0]) == stored


async def test_another_fleet_is_refused(tmp_path: Path) -> None:
    """A file with another fleet is neither served nor overwritten."""
    path = tmp_path / "fleet.db"
    async with Emulator(devices=2, messages=50, database=path):
        pass
    before = path.read_bytes()
    with pytest.raises(ValueError, match="holds a fleet made with"):
        await Emulator(devices=3, messages=50, database=path).start()
    assert path.read_bytes() == before


async def test_a_start_that_was_killed(tmp_path: Path) -> None:
    """A file that a killed start left without a table is filled by the next start."""
    path = tmp_path / "fleet.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size
    async with Emulator(devices=1, messages=5, database=path) as emulator:
        assert len(emulator.stored(emulator.device_ids[0])) == 5


async def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    """A database with tables of another program is not changed."""
    path = tmp_path / "fleet.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE message (text)")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not a file that an emulator made"):
        await Emulator(devices=1, messages=1, database=path).start()
    assert path.read_bytes() == before


async def test_a_fleet_that_cannot_be_made(tmp_path: Path) -> None:
    """If a new fleet fails half-way, the file still holds the old one, whole."""
    path = tmp_path / "fleet.db"
    async with Emulator(devices=1, messages=5, database=path) as emulator:
        stored = emulator.stored(emulator.device_ids[0])

    def half() -> Iterator[Row]:
        yield make_row(0, 1, 1, "userdefined", 1, "null")
        raise OSError("the disk is full")

    with closing(MessageStore(path)) as store:

        def replace() -> None:
            with store.transaction():
                store.set_meta("fleet", None)
                store.replace(half())

        with pytest.raises(OSError, match="full"):
            replace()
    async with Emulator(devices=1, messages=5, database=path) as emulator:
        assert emulator.stored(emulator.device_ids[0]) == stored


async def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file that no emulator made is not changed."""
    path = tmp_path / "notes.txt"
    path.write_text("precious" * 200)
    with pytest.raises(ValueError, match="not a file that an emulator made"):
        await Emulator(devices=1, messages=1, database=path).start()
    assert path.read_text() == "precious" * 200
