"""A trial of partitions on a Dask cluster: the parts are killed, and the script is run again.

The script is the documented one. The scheduler, each worker and the script are processes of
their own. After a number of requests that is drawn from a seed, one of them is killed, and is
started again. In the end the files are compared with the emulator, row for row.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field

from iottly_async.emulator import EmulatorThread

from .partition_rows import partition_rows
from .stored_rows import truth_of

PARTS: Final = ("worker", "scheduler", "script")
"""What is killed."""
_PAGE: Final = 20
"""Messages a request. A small page makes many requests."""
_MOST: Final = 60
"""Requests between two kills, at most."""
_ENDS_WITHIN: Final = 60
"""Seconds in which the script notices that the scheduler is gone."""
_SCRIPT: Final = f"""
import asyncio, sys
from datetime import UTC, datetime, timedelta
from distributed import Client
from iottly_async import Config
from iottly_async.ingest.partitions import PartitionSource, plan
from iottly_async.integrations.dask import run

scheduler, folder, project, base_url = sys.argv[1:]
config = Config(base_url=base_url, page_size={_PAGE})
partitions = asyncio.run(
    plan(
        [PartitionSource(project=project)],
        folder,
        start=datetime(2026, 4, 1, tzinfo=UTC),
        window=timedelta(days=4),
        windows_per_partition=2,
        config=config,
    )
)
with Client(scheduler) as client:
    manifests = run(client, partitions, folder, config=config)
"""


@define
class ClusterTrial:
    """A cluster, and a script that fills a folder.

    Attributes:
        folder: of the partitions.
        emulator: the source of the messages.
        size: the number of workers.
        killed: how often each part was killed.
        hung: how often the script did not end after the scheduler was killed.
    """

    folder: Path
    emulator: EmulatorThread
    size: int
    killed: dict[str, int] = field(factory=lambda: dict.fromkeys(PARTS, 0))
    hung: int = 0
    _address: str = ""
    _scheduler: subprocess.Popen[bytes] | None = None
    _workers: list[subprocess.Popen[bytes]] = field(factory=list)
    _script: subprocess.Popen[bytes] | None = None

    def kill(self, part: str, *, after: int) -> None:
        """Run the script, and kill a part after so many requests. Start again what has ended."""
        seen = len(self.emulator.requests)
        self._start()
        self.emulator.until_requests(seen + after, route="paginated", timeout=120)
        script, scheduler = self._script, self._scheduler
        assert script is not None
        assert scheduler is not None
        if part == "worker":
            _kill(self._workers.pop(0))
        elif part == "script":
            _kill(script)
        else:
            _kill(scheduler)
            for worker in self._workers:
                _kill(worker)
            self._workers.clear()
            try:
                script.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                self.hung += 1
                _kill(script)
        self.killed[part] += 1

    def finish(self) -> None:
        """Run the script to its end."""
        self._start()
        assert self._script is not None
        assert self._script.wait(300) == 0

    def wrong(self) -> int:
        """The number of rows that are lost, repeated or wrong."""
        found, expected = partition_rows(self.folder), truth_of(self.emulator)
        return (expected - found).total() + (found - expected).total()

    def _start(self) -> None:
        if self._scheduler is None or self._scheduler.poll() is not None:
            port = _free_port()
            self._address = f"tcp://127.0.0.1:{port}"
            self._scheduler = _dask(
                "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"
            )
        while len(self._workers) < self.size:
            self._workers.append(
                _dask("worker", self._address, "--no-nanny", "--nthreads", "2", "--no-dashboard")
            )
        if self._script is None or self._script.poll() is not None:
            emulator = self.emulator
            arguments = [self._address, str(self.folder), emulator.project_id, emulator.base_url]
            self._script = _python("-c", _SCRIPT, *arguments)

    def close(self) -> None:
        """Kill all processes."""
        for process in (self._script, *self._workers, self._scheduler):
            if process is not None:
                _kill(process)


@contextmanager
def cluster_trial(folder: Path, *, kills: int, workers: int) -> Iterator[ClusterTrial]:
    """A trial in a new folder, with enough messages for so many kills."""
    messages = kills * _MOST * _PAGE // 2 + 2000
    with EmulatorThread(devices=8, messages=messages, latency=0.01) as emulator:
        os.environ["IOTTLY_API_KEY"] = emulator.api_key
        trial = ClusterTrial(folder, emulator, workers)
        try:
            yield trial
        finally:
            trial.close()
            del os.environ["IOTTLY_API_KEY"]


def kill_many(trial: ClusterTrial, kills: int) -> None:
    """Kill each part in turn, at random moments."""
    chance = random.Random("kills/cluster")
    for number in range(kills):
        trial.kill(PARTS[number % len(PARTS)], after=chance.randint(1, _MOST))


def _dask(*arguments: str) -> subprocess.Popen[bytes]:
    return _python("-m", "dask", *arguments)


def _python(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
