"""A job that is killed at any moment, and restarted until it is done.

``IOTTLY_TEST_KILLS`` sets how often each store's job is killed; 10 by default.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread, FaultKind
from tests.support.stored_rows import keys_of, rows_of, truth_of

KILLS = int(os.environ.get("IOTTLY_TEST_KILLS", "10"))
MOST, NET = 25, 10  # requests between two kills, at most, and beyond them
BROKEN: tuple[FaultKind, ...] = ("reset", "cut", "html")
PROCESS = Path(__file__).parent / "job_process.py"


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    """A fleet with as much history as the kills need, slow enough to be stored meanwhile."""
    messages = max(KILLS, 5) * (MOST + NET) * 110
    with EmulatorThread(devices=6, messages=messages, latency=0.02) as emulator:
        yield emulator


def start(emulator: EmulatorThread, path: Path, *more: str) -> subprocess.Popen[str]:
    """A process with the job for all that the emulator has."""
    return subprocess.Popen(
        [sys.executable, PROCESS, emulator.project_id, path, *more],
        env={
            **os.environ,
            "IOTTLY_API_KEY": emulator.api_key,
            "IOTTLY_BASE_URL": emulator.base_url,
        },
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(emulator: EmulatorThread, path: Path) -> None:
    """Run the job to its end, and compare the store with the emulator's own."""
    with start(emulator, path) as job:
        _, told = job.communicate(timeout=120)
    assert job.returncode == 0, told
    assert rows_of(path) == truth_of(emulator)
    assert len(set(keys_of(path))) == len(keys_of(path))


def test_a_killed_job_loses_nothing_and_repeats_nothing(
    emulator: EmulatorThread, path: Path
) -> None:
    """Killed at random requests, with connections lost on the way, the store ends up right."""
    chance = random.Random(f"kills/{path.suffix}")
    sizes = set()
    for _ in range(KILLS):
        more = chance.randint(1, MOST)
        seen = len(emulator.requests)
        emulator.clear_faults()
        # A net for the case that the killer is slower than the job.
        emulator.fault("stall", route="paginated", skip=more + NET, count=None)
        for kind in BROKEN:
            emulator.fault(kind, route="paginated", probability=0.01, count=None)
        with start(emulator, path) as job:
            emulator.until_requests(seen + more, timeout=60)
            job.kill()
            job.communicate(timeout=60)
        sizes.add(sum(file.stat().st_size for file in path.parent.iterdir()))
    emulator.clear_faults()
    finish(emulator, path)
    assert len(sizes) > 2, "the kills came before anything was stored"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to a file's size")
def test_a_disk_that_is_full_leaves_a_store_that_is_right(
    emulator: EmulatorThread, path: Path
) -> None:
    """The job says what the system said; with more room, the next run completes the store."""
    with start(emulator, path, "500000") as job:
        _, told = job.communicate(timeout=120)
    assert job.returncode == 1, told
    assert "Traceback" not in told
    assert "large" in told
    finish(emulator, path)
