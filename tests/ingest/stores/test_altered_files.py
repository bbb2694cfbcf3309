"""State files as they may be found: cut, of another store, another project, with other bytes.

Whatever is found, the next run either ends with an error that names the store or the file, and
deletes nothing; or it completes the store, with each message once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import EmulatorThread
from iottly_async.errors import IottlyError
from iottly_async.ingest import IngestJob
from iottly_async.ingest.coverage import survey
from tests.support.scale import sized
from tests.support.stored_rows import keys_of

KINDS: Final = ["duckdb", "jsonl", "jsonl.zst", "parquet"]
STATES: Final = {
    "duckdb": [".wal"],  # the file itself has DuckDB's own checksums
    "jsonl": [".cursor", ".lock"],
    "jsonl.zst": [".cursor"],
    "parquet": [".ingest/part.json", ".ingest/part.pending"],
}
"""The files that are altered, by what is added to the store's path."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """A small fleet, some of whose messages cannot be stored."""
    with EmulatorThread(devices=3, messages=300) as emulator:
        yield emulator


def run(emulator: EmulatorThread, store: Path, *, stop_after: int = 0, users: bool = False) -> None:
    """Run a job; stop it after so many rows."""

    async def work() -> None:
        config = Config(base_url=emulator.base_url, page_size=20)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            job = IngestJob(
                session,
                project=emulator.project_id,
                store=store,
                type="userdefined" if users else "all",
                concurrency=1,
                flush_every=0.001,
            )
            await job.run(lambda state: job.stop() if 0 < stop_after <= state.rows else None)

    asyncio.run(work())


@pytest.fixture(scope="module", params=KINDS)
def stores(
    request: pytest.FixtureRequest,
    emulator: EmulatorThread,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """A store that is complete, one that was stopped, and one of another query."""
    folder = tmp_path_factory.mktemp("stores")
    found = [folder / f"{number}.{request.param}" for number in range(3)]
    run(emulator, found[0])
    run(emulator, found[1], stop_after=1)
    run(emulator, found[2], users=True)
    return found


def copied(store: Path, to: Path) -> None:
    """Copy a store with the files beside it."""
    for found in store.parent.glob(f"{store.name}*"):
        place = to.parent / (to.name + found.name.removeprefix(store.name))
        (shutil.copytree if found.is_dir() else shutil.copyfile)(found, place)


def content_of(folder: Path) -> dict[str, bytes]:
    """All files that hold something, but for lock files; DuckDB deletes an empty log."""
    return {
        str(found): found.read_bytes()
        for found in folder.rglob("*")
        if found.is_file() and found.stat().st_size and not found.name.endswith(".lock")
    }


@settings(max_examples=sized(8, 300), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_found_is_completed_or_refused(
    emulator: EmulatorThread,
    stores: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    """Nothing is lost and nothing is there twice; an error names the file."""
    suffix = stores[0].name.partition(".")[2]
    path = tmp_path_factory.mktemp("found") / f"telemetry.{suffix}"
    chosen, other = data.draw(st.permutations(stores))[:2]
    copied(chosen, path)
    name = data.draw(st.sampled_from(STATES[suffix]))
    file, theirs = Path(f"{path}{name}"), Path(f"{other}{name}")
    whole = file.read_bytes() if file.exists() else b""
    match data.draw(st.sampled_from(["cut", "bytes", "other", "deleted", "doubled"])):
        case "cut":
            file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        case "bytes":
            at = data.draw(st.integers(0, len(whole)))
            file.write_bytes(whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + 4 :])
        case "other" if theirs.exists():
            shutil.copyfile(theirs, file)
        case "deleted":
            file.unlink(missing_ok=True)
        case _:
            file.write_bytes(whole + whole)
    before = content_of(path.parent)
    if (error := error_of(lambda: asyncio.run(survey(path)))) is not None:
        assert path.name in error
    error = error_of(lambda: run(emulator, path))
    users = chosen is stores[2]
    if error is not None:
        assert path.name in error
        # The query of another store is refused whatever its files hold; its own may go on.
        error = error_of(lambda: run(emulator, path, users=True)) if users else error
    elif users:
        return  # nothing was left that told the query
    if error is not None:
        assert path.name in error
        assert before.items() <= content_of(path.parent).items()
    else:
        assert sorted(keys_of(path)) == sorted(keys_of(stores[2 if users else 0]))
    assert not [found for found in os.listdir(path.parent) if ".aside" in found]


def error_of(work: Callable[[], object]) -> str | None:
    """The text of the error with which something ends; None if it ends well."""
    try:
        work()
    except IottlyError as error:
        return str(error)
    return None
