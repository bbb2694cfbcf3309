"""Output: the same data as a table, JSON lines or JSON."""

from __future__ import annotations

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run


@pytest.mark.parametrize("form", ["table", "jsonl", "json"])
def test_every_format_prints_the_same_devices(
    iottly: Run, emulator: EmulatorThread, form: str
) -> None:
    """`--format` overrides the default of stdout; no format shortens an id."""
    done = iottly("devices", "--format", form)
    assert done.code == 0
    assert all(device in done.out for device in emulator.device_ids)
