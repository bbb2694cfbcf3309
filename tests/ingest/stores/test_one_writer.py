"""One store has one writer, by whichever path and in whichever process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from iottly_async import IottlySession
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import IngestJob, Store, open_store
from tests.support.other_process import other_process
from tests.support.store_holders import hold, hold_and_fork
from tests.support.stored_rows import keys_of, rows_of, truth_of

HELD = f"is being written by another job, process {os.getpid()} on .*, since .* UTC"


async def made(path: Path | str) -> Store:
    """A new store, which is open."""
    store = open_store(path)
    await store.open()
    await store.begin("a plan")
    return store


async def assert_refused(path: Path | str, match: str = HELD) -> None:
    """The store cannot be opened a second time, and the error names its holder."""
    second = open_store(path)
    with pytest.raises(StoreError, match=match):
        await second.open()
    await second.close()


async def test_a_store_is_opened_by_one_job(path: Path) -> None:
    """The second job gets an error that names the first. After its end, it may write."""
    first = await made(path)
    await assert_refused(path)
    await assert_refused(path)
    await first.close()
    again = open_store(path)
    assert (await again.open()).plan == "a plan"
    await again.close()


async def test_other_paths_lead_to_the_same_store(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path, a linked folder and a linked store are the store itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / f"link-{path.name}").symlink_to(path)
    paths = [Path(path.name), Path("folder") / path.name, tmp_path / f"link-{path.name}"]
    first = await made(path)
    for other in paths:
        await assert_refused(other)
    await first.close()
    for other in paths:
        store = open_store(other)
        assert (await store.open()).plan == "a plan"
        await assert_refused(path)
        await store.close()


@pytest.mark.parametrize("suffix", ["duckdb", "jsonl"])
async def test_a_second_name_of_a_file_is_refused(tmp_path: Path, suffix: str) -> None:
    """A hard link to the file that another job writes is not written."""
    path, other = tmp_path / f"one.{suffix}", tmp_path / f"other.{suffix}"
    store = await made(path)
    os.link(path, other)
    if suffix == "jsonl":
        os.link(f"{path}.cursor", f"{other}.cursor")
    await assert_refused(other, "is being written by another job")
    await store.close()


@contextmanager
def held_elsewhere(path: Path) -> Iterator[BaseProcess]:
    """Another process that has the store open."""
    with other_process(hold, str(path)) as (process, connection):
        assert connection.recv() == "held"
        yield process


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_a_process_that_is_killed_gives_its_store_free(path: Path) -> None:
    """While it lives, it is named. After a kill, the next job writes, and nothing is in its way."""
    with held_elsewhere(path) as process:
        await assert_refused(path, rf"process {process.pid} on ")
        process.kill()
        process.join()
        store = open_store(path)
        assert (await store.open()).plan == "a plan"
        await store.close()
    assert not [*path.parent.rglob("*.lock")]


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
@pytest.mark.parametrize("suffix", ["duckdb", "jsonl"])
async def test_a_second_name_is_refused_in_another_process(tmp_path: Path, suffix: str) -> None:
    """The lock file is another one, but the file itself is locked."""
    path, other = tmp_path / f"one.{suffix}", tmp_path / f"other.{suffix}"
    with held_elsewhere(path):
        os.link(path, other)
        if suffix == "jsonl":
            os.link(f"{path}.cursor", f"{other}.cursor")
        await assert_refused(other, "other.* is (being written by another job|open elsewhere)")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_fork_of_a_killed_job_does_not_keep_its_store(path: Path) -> None:
    """For example a worker of `multiprocessing` that outlives the job's process."""
    with other_process(hold_and_fork, str(path)) as (process, connection):
        child = connection.recv()
        try:
            process.kill()
            process.join()
            store = open_store(path)
            assert asyncio.run(store.open()).plan == "a plan"
            asyncio.run(store.close())
        finally:
            os.kill(child, signal.SIGKILL)


def lock_of(path: Path) -> Path:
    """The path of a store's lock file."""
    return Path(f"{path}.ingest/part.lock" if path.suffix == ".parquet" else f"{path}.lock")


async def test_another_users_lock_file_is_in_nobodys_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock file that cannot be written, of a job that was killed, is locked and replaced."""
    await (await made(path)).close()
    lock = lock_of(path)
    lock.write_text('{"pid":1,"host":"other","since":"2026-01-01T00:00:00Z"}')
    refusing: Any = os.open

    def refuse(name: Any, flags: int, *mode: Any, **more: Any) -> int:
        if str(name) == str(lock) and flags & os.O_CREAT and lock.exists():
            raise PermissionError(13, "Permission denied", name)
        return int(refusing(name, flags, *mode, **more))

    monkeypatch.setattr(os, "open", refuse)
    store = open_store(path)
    assert (await store.open()).plan == "a plan"
    assert lock.stat().st_size > 0
    await store.close()
    assert not lock.exists()


async def test_a_file_of_something_else_is_no_lock_file(path: Path) -> None:
    """It is neither overwritten nor deleted, and the error names it."""
    await (await made(path)).close()
    lock = lock_of(path)
    lock.write_text("mine")
    store = open_store(path)
    with pytest.raises(ConfigurationError, match=str(lock)):
        await store.open()
    await store.close()
    assert lock.read_text() == "mine"


@pytest.mark.parametrize("suffix", ["duckdb", "jsonl", "parquet"])
async def test_a_second_job_sends_nothing_and_stores_nothing(
    session: IottlySession, emulator: Emulator, tmp_path: Path, suffix: str
) -> None:
    """Of two jobs on one store, one ends with an error, and the other stores each row once."""
    path = tmp_path / f"telemetry.{suffix}"

    def job() -> IngestJob:
        return IngestJob(session, project=emulator.project_id, store=path, concurrency=1)

    emulator.fault("stall", route="paginated", skip=1, count=1)
    first = asyncio.create_task(job().run())
    await emulator.until_requests(3)
    seen = len(emulator.requests)
    with pytest.raises(StoreError, match=HELD):
        await job().run()
    assert len(emulator.requests) == seen
    emulator.clear_faults()
    await first
    assert rows_of(path) == truth_of(emulator)
    assert len(set(keys_of(path))) == len(keys_of(path))
