"""Fleets that are kept in a file."""

from pathlib import Path

import pytest

from iottly_async.emulator import Emulator


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


async def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file that no emulator made is not changed."""
    path = tmp_path / "notes.txt"
    path.write_text("precious" * 200)
    with pytest.raises(ValueError, match="not a file that an emulator made"):
        await Emulator(devices=1, messages=1, database=path).start()
    assert path.read_text() == "precious" * 200
