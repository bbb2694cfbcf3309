"""A trial of partitions on a Dask cluster: the parts are killed, and the script is run again.

The script is the documented one. The scheduler, each worker and the script are processes of
their own, forked from one that has loaded Dask, which takes a second otherwise. After a number of
requests that is drawn from a seed, one of them is killed, and is started again. In the end the
files are compared with the emulator, row for row.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dask
from attrs import define, field
from distributed import Client
from distributed.cli import dask_scheduler, dask_worker
from distributed.utils import get_mp_context

from iottly_async import Config
from iottly_async.emulator import EmulatorThread
from iottly_async.ingest.partitions import PartitionSource, plan
from iottly_async.integrations.dask import run

from .forked import forked
from .partition_rows import partition_rows
from .stored_rows import truth_of

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext  # which Windows does not have

PARTS: Final = ("worker", "scheduler", "script")
"""What is killed."""
_PAGE: Final = 20
"""Messages a request. A small page makes many requests."""
_MOST: Final = 60
"""Requests between two kills, at most."""
_ENDS_WITHIN: Final = 60
"""Seconds in which the script notices that the scheduler is gone."""


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
    _scheduler: BaseProcess | None = None
    _workers: list[BaseProcess] = field(factory=list)
    _script: BaseProcess | None = None

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
            script.join(_ENDS_WITHIN)
            if script.is_alive():
                self.hung += 1
                _kill(script)
        self.killed[part] += 1

    def finish(self) -> None:
        """Run the script to its end."""
        self._start()
        assert self._script is not None
        self._script.join(300)
        assert self._script.exitcode == 0

    def wrong(self) -> int:
        """The number of rows that are lost, repeated or wrong."""
        found, expected = partition_rows(self.folder), truth_of(self.emulator)
        return (expected - found).total() + (found - expected).total()

    def _start(self) -> None:
        if self._scheduler is None or not self._scheduler.is_alive():
            port = _free_port()
            self._address = f"tcp://127.0.0.1:{port}"
            self._scheduler = self._process(
                _scheduler, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"
            )
        while len(self._workers) < self.size:
            self._workers.append(
                self._process(
                    _worker, self._address, "--no-nanny", "--nthreads", "2", "--no-dashboard"
                )
            )
        if self._script is None or not self._script.is_alive():
            emulator = self.emulator
            arguments = [self._address, str(self.folder), emulator.project_id, emulator.base_url]
            self._script = self._process(_script, *arguments)

    def _process(self, program: Callable[..., None], *arguments: str) -> BaseProcess:
        process = dask_context().Process(
            target=_run, args=(program, self.emulator.api_key, arguments), daemon=True
        )
        process.start()
        return process

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
        trial = ClusterTrial(folder, emulator, workers)
        try:
            yield trial
        finally:
            trial.close()


def kill_many(trial: ClusterTrial, kills: int) -> None:
    """Kill each part in turn, at random moments."""
    chance = random.Random("kills/cluster")
    for number in range(kills):
        trial.kill(PARTS[number % len(PARTS)], after=chance.randint(1, _MOST))


def dask_context() -> ForkServerContext:
    """A context whose processes need not load Dask and the package.

    A cluster uses it too if Dask's configuration names "forkserver".
    """
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context()  # type: ignore[no-untyped-call]  # its first call sets other modules
    return forked()


def _run(program: Callable[..., None], api_key: str, arguments: tuple[str, ...]) -> None:
    """Run a program in a process of its own, with the key in its environment, without output."""
    os.environ["IOTTLY_API_KEY"] = api_key
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    program(*arguments)


def _scheduler(*arguments: str) -> None:
    dask_scheduler.main(arguments)


def _worker(*arguments: str) -> None:
    dask_worker.main(arguments)


def _script(scheduler: str, folder: str, project: str, base_url: str) -> None:
    config = Config(base_url=base_url, page_size=_PAGE)
    partitions = asyncio.run(
        plan(
            [PartitionSource(project=project)],
            folder,
            start=datetime(2026, 4, 1, tzinfo=UTC),
            end=datetime(2026, 5, 1, tzinfo=UTC),
            window=timedelta(days=4),
            windows_per_partition=2,
            config=config,
        )
    )
    with Client(scheduler) as client:  # type: ignore[no-untyped-call]
        run(client, partitions, folder, config=config)


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
