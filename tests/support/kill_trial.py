"""A trial of a store: its job is killed many times, run to its end, and the store compared.

Half of the kills come at a request of the job, the others at a step of its store: a system
call on a file, a statement, or a chunk on the way to the database's server. Meanwhile,
connections are lost and requests refused, and a second job tries to open the store. All of it is
drawn from a seed. On a machine under heavy load, a job may make all its requests before the step,
and is then killed at a request.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

import pytest
from attrs import define, field

from iottly_async.emulator import EmulatorThread, FaultKind
from iottly_async.errors import StoreError
from iottly_async.ingest import open_store
from iottly_async.ingest.stores.postgres import store as postgres_store

from .killable_jobs import Job, Nursery
from .postgres_server import PostgresServer
from .stored_rows import Place, assert_whole
from .tcp_proxy import TcpProxy

STORES: Final = ("duckdb", "jsonl", "jsonl.zst", "parquet", "postgresql")
STEPS: Final = {"duckdb": 30, "jsonl": 60, "jsonl.zst": 60, "parquet": 80, "postgresql": 80}
"""The highest step of a store at which a job is killed."""
MOST, NET = 40, 6
"""Requests between two kills at most, and how many more a job may make before it stalls."""
_MOST_FOR_A_STEP: Final = 3 * MOST
"""Requests that a job may make before the step at which it is killed."""
_PAGE: Final = 20
"""Messages a request while jobs are killed. A small page makes many requests."""
_ROWS_A_KILL: Final = (MOST + NET + _MOST_FOR_A_STEP) // 2 * _PAGE + 4 * _PAGE
_BROKEN: Final[tuple[FaultKind, ...]] = ("reset", "cut", "html")
_SIGKILL: Final = -9


@define
class Trial:
    """A store, the job that fills it, and the emulator that it is filled from.

    Attributes:
        store: the kind of store.
        place: the store's path or URL.
        emulator: the source of the messages.
        killed: the number of kills so far, at a request and at a step.
        refused: how often a second job was refused, which is before each kill at a request.
    """

    store: str
    place: Place
    emulator: EmulatorThread
    killed: dict[str, int] = field(factory=lambda: {"request": 0, "step": 0})
    refused: int = 0
    _jobs: Nursery = field(kw_only=True)
    _proxy: TcpProxy | None = field(kw_only=True, default=None)

    def start(self, *, page_size: int = 100, step: int = 0, file_size: int = 0) -> Job:
        """Start the job in a process of its own."""
        return self._jobs.start(
            base_url=self.emulator.base_url,
            api_key=self.emulator.api_key,
            project=self.emulator.project_id,
            store=self._text(),
            page_size=page_size,
            step=step,
            file_size=file_size,
        )

    def _text(self) -> str:
        if self._proxy is None:
            return str(self.place)
        host, port = self._proxy.address
        parts = urlsplit(str(self.place))
        who = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{who}@{host}:{port}"))

    def kill(self, times: int) -> None:
        """Start and kill the job so many times. Each run resumes the one before."""
        chance = random.Random(f"kills/{self.store}")
        for time in range(times):
            self._break(chance)
            if time % 2:
                self._kill_at_step(chance.randint(1, STEPS[self.store]))
            else:
                self._kill_at_request(chance.randint(1, MOST))

    def _break(self, chance: random.Random) -> None:
        emulator = self.emulator
        emulator.clear_faults()
        emulator.forget_requests()
        for kind in _BROKEN:
            emulator.fault(kind, route="paginated", probability=0.02, count=None)
        emulator.fault(
            "status",
            status=429,
            headers={"Retry-After": "0"},
            route="paginated",
            probability=chance.choice([0.0, 0.05]),
            count=None,
        )

    def _kill_at_request(self, number: int) -> None:
        self._stall_at(number + NET)
        job = self.start(page_size=_PAGE)
        self.emulator.until_requests(number, timeout=60)
        asyncio.run(self._try_second())
        job.kill()
        job.until_ended()
        self._killed(job, "request")

    async def _try_second(self) -> None:
        """Open the store while the job has it: that is refused, and names the job."""
        store = open_store(str(self.place))
        with pytest.raises(StoreError, match="is being written by"):
            await store.open()
        await store.close()
        self.refused += 1

    def _kill_at_step(self, number: int) -> None:
        self._stall_at(_MOST_FOR_A_STEP)
        if self._proxy is None:
            job = self.start(page_size=_PAGE, step=number)
        else:
            # Before a chunk is sent to the server, or after it and before the answer.
            jobs: list[Job] = []
            self._proxy.cut_at(number, after=bool(number % 2), then=lambda: jobs[0].kill())
            jobs.append(self.start(page_size=_PAGE))
            job = jobs[0]
        ended, stalled = threading.Event(), threading.Event()
        watching = threading.Thread(target=self._kill_stalled, args=(job, ended, stalled))
        watching.start()
        job.until_ended()
        ended.set()
        watching.join()
        self._killed(job, "request" if stalled.is_set() else "step")

    def _stall_at(self, number: int) -> None:
        """After so many requests the job waits until it is killed."""
        self.emulator.fault("stall", route="paginated", skip=number, count=None)

    def _kill_stalled(self, job: Job, ended: threading.Event, stalled: threading.Event) -> None:
        """Kill a job that has stalled before it came to its step."""
        while not ended.is_set():
            with suppress(TimeoutError):
                self.emulator.until_requests(_MOST_FOR_A_STEP + 1, timeout=0.05)
                stalled.set()
                job.kill()
                return

    def _killed(self, job: Job, by: str) -> None:
        code, output = job.result()
        assert code == _SIGKILL, f"the job ended before it was killed: {code} {output}"
        self.killed[by] += 1

    def finish(self) -> None:
        """Run the job to its end, and compare the store with the emulator's messages."""
        self.complete()
        assert_whole(self.place, self.emulator)

    def complete(self) -> None:
        """Run the job to its end."""
        self.emulator.clear_faults()
        self.emulator.forget_requests()
        code, output = self.start().wait()
        assert code == 0, output

    @property
    def restarted(self) -> set[str]:
        """The devices that the last run fetched from their first message."""
        seen: set[str] = set()
        restarted: set[str] = set()
        for request in self.emulator.requests:
            if request.route != "paginated" or request.query.get("l") == "1":
                continue
            device = request.path.split("/")[-3]
            if device not in seen and "from" not in request.query:
                restarted.add(device)
            seen.add(device)
        return restarted


def fleet(kills: int) -> EmulatorThread:
    """An emulator with enough messages for so many kills."""
    return EmulatorThread(devices=6, messages=kills * _ROWS_A_KILL, latency=0.005)


@contextmanager
def trial(
    store: str,
    folder: Path,
    *,
    emulator: EmulatorThread,
    jobs: Nursery,
    postgres: PostgresServer | None = None,
) -> Iterator[Trial]:
    """The trial of a new store of a kind. PostgreSQL's needs a server."""
    emulator.clear_faults()
    if store != "postgresql":
        yield Trial(store, folder / f"telemetry.{store}", emulator, jobs=jobs)
        return
    assert postgres is not None
    with (
        postgres.database() as url,
        TcpProxy(postgres.address) as proxy,
        # The jobs are in other processes, and wait as long as ever.
        mock.patch.object(postgres_store, "_LOCK_WITHIN", "10ms"),
    ):
        yield Trial(store, url, emulator, jobs=jobs, proxy=proxy)
