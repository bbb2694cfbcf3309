"""Files that are written aside: no link leads them elsewhere, and only the owner reads them."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from iottly_async import IottlySession
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import IngestJob
from iottly_async.ingest.stores import JSONLinesStore, aside
from iottly_async.ingest.stores.aside import replace_file
from tests.support.stored_rows import rows_of, truth_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and permissions of POSIX")


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    """A file of something else, to which links point."""
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    return diary


def link(path: str, target: Path) -> None:
    """Make a link at `path`."""
    Path(path).symlink_to(target)


def assert_untouched(diary: Path) -> None:
    """The file is as it was."""
    assert diary.read_text() == "mine"


async def test_links_beside_a_store_are_not_followed(
    session: IottlySession, emulator: Emulator, tmp_path: Path, diary: Path
) -> None:
    """A job leaves the files alone that links beside its store point to."""
    path = tmp_path / "telemetry.jsonl"
    for suffix in (".cursor.new", ".cursor.aside"):
        link(f"{path}{suffix}", diary)
    await IngestJob(session, project=emulator.project_id, store=path).run()
    assert_untouched(diary)
    assert rows_of(path) == truth_of(emulator)


@pytest.mark.parametrize("suffix", [".rejected", ".lock"])
async def test_a_link_in_the_place_of_a_file_is_refused(
    tmp_path: Path, diary: Path, suffix: str
) -> None:
    """The store is not opened, and the file is not cut."""
    path = tmp_path / "telemetry.jsonl"
    store = JSONLinesStore(path)
    await store.open()
    await store.begin("a plan")
    await store.close()
    link(f"{path}{suffix}", diary)
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await store.open()
    await store.close()
    assert_untouched(diary)


async def test_a_guessed_name_is_not_followed(
    tmp_path: Path, diary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a link with the very name of the new file only makes the job fail."""
    monkeypatch.setattr(aside, "token_hex", lambda length: "0" * 2 * length)
    path = tmp_path / "telemetry.jsonl"
    store = JSONLinesStore(path)
    await store.open()
    link(f"{path}.cursor.{'0' * 16}.aside", diary)
    with pytest.raises(StoreError, match="File exists"):
        await store.begin("a plan")
    await store.close()
    assert_untouched(diary)


def test_a_new_file_is_the_owners_until_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it has the permissions of the old one; if there is none, those of any new file."""
    modes: list[int] = []
    write_all: Any = aside.write_all

    def watched(fd: int, data: bytes) -> None:
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        write_all(fd, data)

    monkeypatch.setattr(aside, "write_all", watched)
    path, usual = tmp_path / "state", tmp_path / "usual"
    usual.touch()
    replace_file(str(path), b"one")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    replace_file(str(path), b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o640)
    assert modes == [0o600, 0o600]
    assert {one.name for one in tmp_path.iterdir()} == {"state", "usual"}


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    """An error leaves the old file, and nothing beside it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(str(tmp_path / "folder"), b"one")
    assert os.listdir(tmp_path) == ["folder"]
