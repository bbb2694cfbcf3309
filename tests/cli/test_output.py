"""Output: the same data as a table, JSON lines or JSON."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from iottly_async.cli.report_file import OutputFile
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


@pytest.mark.skipif(sys.platform == "win32", reason="links and devices of POSIX")
def test_a_file_that_is_written_replaces_a_link_and_no_device(tmp_path: Path) -> None:
    """What a link points to stays as it is. A device is written to, also by root."""
    diary, link = tmp_path / "diary", tmp_path / "page.html"
    diary.write_text("mine")
    link.symlink_to(diary)
    OutputFile(link, option="--html").put(b"page")
    assert (diary.read_text(), link.read_bytes()) == ("mine", b"page")
    assert not link.is_symlink()
    OutputFile(Path(os.devnull), option="--html").put(b"page")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert sorted(os.listdir(tmp_path)) == ["diary", "page.html"]
