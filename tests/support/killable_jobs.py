"""Jobs in processes of their own that can be killed, without the cost of starting Python.

A nursery process imports everything once, and forks a child for each job; it needs `fork`. A
child is killed from outside, or kills itself at a step of its store. A step is a system call
that opens, writes, syncs, renames, creates or deletes a file, or a call of DuckDB's connection.

``python -m tests.support.killable_jobs`` is the nursery. It reads orders as JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from attrs import evolve

from iottly_async import Config, IottlySession
from iottly_async.config import RetryPolicy
from iottly_async.errors import StoreError
from iottly_async.ingest import IngestJob

_CALLS = ("open", "write", "fsync", "replace", "ftruncate", "unlink", "mkdir")


class Job:
    """A job in a child of the nursery.

    Attributes:
        pid: of its process.
    """

    def __init__(self, nursery: subprocess.Popen[str], output: Path) -> None:
        self._nursery = nursery
        self._output = output
        self.pid = int(self._line())

    def kill(self) -> None:
        """Send SIGKILL. Does nothing if the job has ended."""
        # The process is not waited for before `result`, so that its id is not used again.
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> tuple[int, str]:
        """Wait for its end. Returns its exit code, negative for a signal, and its stderr."""
        self.until_ended()
        return self.result()

    def until_ended(self) -> None:
        """Wait for its end. `kill` is still allowed afterwards."""
        self._line()

    def result(self) -> tuple[int, str]:
        """What `wait` returns, of a job that has ended."""
        assert self._nursery.stdin is not None
        self._nursery.stdin.write("\n")
        self._nursery.stdin.flush()
        return int(self._line()), self._output.read_text()

    def _line(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline()


class Nursery:
    """Starts jobs, one at a time, in a process that forks them."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process = process
        self._output = output

    def start(
        self,
        *,
        base_url: str,
        api_key: str,
        project: str,
        store: str,
        page_size: int = 100,
        step: int = 0,
        file_size: int = 0,
    ) -> Job:
        """Start a job for all messages of the server.

        Args:
            store: a text as `open_store` takes it.
            page_size: messages a request.
            step: of the store, at which the job kills itself; 0 is never.
            file_size: the largest size of a file in bytes; 0 is unlimited.
        """
        order = {
            "base_url": base_url,
            "api_key": api_key,
            "project": project,
            "store": store,
            "page_size": page_size,
            "step": step,
            "file_size": file_size,
            "stderr": str(self._output),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Job(self._process, self._output)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, for the time of the block."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        try:
            yield Nursery(process, Path(folder) / "stderr")
        finally:
            process.stdin.close()


def _serve() -> None:
    # Jobs import and make these late; here, they are there in each child.
    from pyarrow import dataset

    from iottly_async.codec import Answers
    from iottly_async.ingest.stores.duckdb import columns
    from iottly_async.ingest.stores.parquet import conversion, devices, row_files, row_log
    from iottly_async.ingest.stores.postgres import connection

    assert all((dataset, columns, conversion, devices, row_files, row_log, connection))
    Answers()
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_job(order)
        _print(child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        _print(child)
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        _print(os.waitstatus_to_exitcode(status))


def _print(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _run_job(order: dict[str, Any]) -> None:
    code = 70
    try:
        output = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 2)
        if order["file_size"]:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"],) * 2)
        if order["step"]:
            _die_at(order["step"])
        code = asyncio.run(_job(order))
    except BaseException:
        import traceback

        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _job(order: dict[str, Any]) -> int:
    """Returns 0 if all devices are done, 1 if the store failed, 4 if a device did."""
    config = evolve(
        Config(base_url=order["base_url"]),
        page_size=order["page_size"],
        retry=RetryPolicy(max_attempts=8, initial_delay=0.01, max_delay=0.2),
    )
    async with IottlySession(order["api_key"], config=config) as session:
        job = IngestJob(
            session,
            project=order["project"],
            store=order["store"],
            concurrency=4,
            flush_every=0.004,
        )
        try:
            report = await job.run()
        except StoreError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0 if report.done == len(report.devices) else 4


def _die_at(step: int) -> None:
    left = step

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    class Counted:
        """A connection on which every method call is a step."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return counted(getattr(self._connection, name))

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
    connect: Any = duckdb.connect
    setattr(duckdb, "connect", lambda *where, **how: Counted(connect(*where, **how)))  # noqa: B010


if __name__ == "__main__":
    _serve()
