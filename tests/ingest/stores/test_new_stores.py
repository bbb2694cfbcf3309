"""New stores: what a refused, killed or simultaneous beginning leaves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator, EmulatorThread
from iottly_async.errors import ConfigurationError, UnauthorizedError
from iottly_async.ingest import IngestJob
from iottly_async.ingest.partitions import PartitionSource, plan, run_partition
from iottly_async.ingest.stores import ParquetStore
from tests.support.killable_jobs import Nursery, nursery
from tests.support.postgres_server import fetch
from tests.support.stored_rows import assert_whole, keys_of, rows_of, truth_of

SCHEMAS = "SELECT count(*) FROM pg_namespace WHERE nspname = 'iottly'"


async def run_with_wrong_key(emulator: Emulator, store: Path | str) -> None:
    """Run a job whose key is refused."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession("wrong", config=config, limiter=RateLimiter()) as session:
        with pytest.raises(UnauthorizedError):
            await IngestJob(session, project=emulator.project_id, store=store).run()


async def test_a_wrong_key_leaves_no_store(emulator: Emulator, path: Path) -> None:
    """Neither the store nor a file beside it is there, and a folder that was there stays."""
    await run_with_wrong_key(emulator, path)
    assert os.listdir(path.parent) == []
    if path.suffix == ".parquet":
        os.mkdir(path)
        await run_with_wrong_key(emulator, path)
        assert os.listdir(path) == []


async def test_a_wrong_key_leaves_no_tables(emulator: Emulator, database: str) -> None:
    """A database gets no schema."""
    await run_with_wrong_key(emulator, database)
    assert fetch(database, SCHEMAS) == [(0,)]


async def test_a_range_in_the_future_leaves_no_store(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """As any refusal before the first row."""
    job = IngestJob(
        session, project=emulator.project_id, store=path, start=datetime(2199, 1, 1, tzinfo=UTC)
    )
    with pytest.raises(ConfigurationError, match="there is nothing to fetch yet"):
        await job.run()
    assert os.listdir(path.parent) == []


async def test_a_wrong_key_leaves_no_folder_of_partitions(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does it delete a folder that was there."""
    monkeypatch.setenv("KEY", emulator.api_key)
    config = Config(base_url=emulator.base_url)
    source = PartitionSource(project=emulator.project_id, key_env="KEY")
    partition = (await plan([source], config=config))[0]
    monkeypatch.setenv("KEY", "wrong")
    (tmp_path / "old").mkdir()
    for folder in ("old", "deep/in/new"):
        with pytest.raises(UnauthorizedError):
            await run_partition(partition, tmp_path / folder, limiter=RateLimiter())
    found = [(folders, files) for _, folders, files in os.walk(tmp_path)]
    assert found == [(["old"], []), ([], [])]


async def test_an_empty_file_is_a_new_store(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """For example one of `tempfile`. The store keeps its permissions."""
    for suffix in ("duckdb", "jsonl", "jsonl.zst"):
        path = tmp_path / f"telemetry.{suffix}"
        path.touch(mode=0o600)
        await IngestJob(session, project=emulator.project_id, store=path).run()
        assert rows_of(path) == truth_of(emulator)
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.fixture(scope="module")
def jobs() -> Iterator[Nursery]:
    """Starts jobs in processes of their own."""
    with nursery() as jobs:
        yield jobs


@pytest.mark.skipif(sys.platform == "win32", reason="jobs are forked and killed")
@pytest.mark.parametrize("suffix", ["duckdb", "jsonl", "parquet"])
async def test_a_store_that_was_killed_while_it_was_made_is_made_again(
    tmp_path: Path, jobs: Nursery, suffix: str
) -> None:
    """At each step of the creation: the next run accepts what it finds, and completes it."""
    with EmulatorThread(devices=1, messages=20) as emulator:
        config, project = Config(base_url=emulator.base_url), emulator.project_id
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            for step in range(1, 16):
                path = tmp_path / f"{step}.{suffix}"
                job = jobs.start(
                    base_url=emulator.base_url,
                    api_key=emulator.api_key,
                    project=project,
                    store=str(path),
                    step=step,
                )
                code, output = job.wait()
                assert code == -9, output
                await IngestJob(session, project=project, store=path).run()
                assert_whole(path, emulator)
    files = [name for _, _, names in os.walk(tmp_path) for name in names]
    assert not [name for name in files if ".aside" in name]


async def test_parts_that_begin_together_share_a_new_folder(tmp_path: Path) -> None:
    """Many jobs make the same new folder at the same moment, and each gets its part."""
    for number in range(20):
        path = tmp_path / f"{number}.parquet"
        stores = [ParquetStore(path, part=f"machine-{machine}") for machine in range(8)]
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.begin("a plan") for store in stores))
        await asyncio.gather(*(store.close() for store in stores))
        assert len(os.listdir(f"{path}.ingest")) == 8


TOGETHER = """
import asyncio, os, sys
from pyarrow import dataset  # imported late by a store; here, it is there in each child
from iottly_async.ingest.stores import Group, ParquetStore
from iottly_async.ingest.stores.parquet import conversion, devices, row_files, row_log
from tests.ingest.stores.test_parquet import group, message

async def fill(path, part):
    store = ParquetStore(path, part=part)
    await store.open()
    await store.begin("a plan")
    await store.write(group(message(part, 1)))
    await store.flush()
    await store.close()

path, machines = sys.argv[1], int(sys.argv[2])
gate, start = os.pipe()
children = []
for machine in range(machines):
    child = os.fork()
    if not child:
        os.close(start)
        os.read(gate, 1)  # returns when the parent closes its end
        code = 1
        try:
            asyncio.run(fill(path, f"machine-{machine}"))
            code = 0
        finally:
            os._exit(code)
    children.append(child)
os.close(start)
ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(ended.count(0))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_processes_that_begin_together_share_a_new_folder(tmp_path: Path) -> None:
    """Sixty machines, each with its part: none is refused, and no row is missing."""
    path = tmp_path / "telemetry.parquet"
    done = subprocess.run(
        # Python 3.12 and newer warn of the fork: a library may have started threads.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", TOGETHER, path, "60"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("60\n", "")
    assert len(keys_of(path)) == 60


async def test_a_part_that_is_refused_does_not_disturb_another(tmp_path: Path) -> None:
    """A folder that one job has made and leaves empty may be in use by another."""
    for number in range(20):
        path = tmp_path / f"{number}.parquet"
        refused, used = ParquetStore(path, part="refused"), ParquetStore(path, part="used")
        await refused.open()
        await asyncio.gather(refused.close(), used.open())
        await used.begin("a plan")
        await used.close()
        assert os.listdir(f"{path}.ingest") == ["used.json"]


async def test_a_part_keeps_the_files_of_parts_with_longer_names(tmp_path: Path) -> None:
    """A flush of the part "a-b" that is under way is not taken for a killed one of "a"."""
    path = tmp_path / "telemetry.parquet"
    longer = ParquetStore(path, part="a-b")
    await longer.open()
    state = tmp_path / "telemetry.parquet.ingest"
    own, other = state / "a-00000001-0.aside", state / "a-b-00000001-0.aside"
    own.touch()
    other.touch()
    shorter = ParquetStore(path, part="a")
    await shorter.open()
    assert (own.exists(), other.exists()) == (False, True)
    await shorter.close()
    await longer.close()


@pytest.mark.parametrize("part", ["", "../out", "a/b", "a\0", ".", 5])
def test_a_part_is_a_name(tmp_path: Path, part: str) -> None:
    """It names files, and leads to no other folder."""
    with pytest.raises(ConfigurationError, match="part must be"):
        ParquetStore(tmp_path / "x.parquet", part=part)
