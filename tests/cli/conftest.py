"""Fixtures that run the command line against an emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from iottly_async.__main__ import main
from iottly_async.emulator import EmulatorThread

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "iottly_async"]


class Result(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[Any]:
        """The JSON lines on stdout, decoded."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """An emulator with 5 devices and 2,000 messages."""
    with EmulatorThread(devices=5, messages=2_000) as emulator:
        yield emulator


@pytest.fixture
def environment(emulator: EmulatorThread) -> dict[str, str]:
    """The environment variables that point a program at the emulator."""
    return {
        "IOTTLY_API_KEY": emulator.api_key,
        "IOTTLY_BASE_URL": emulator.base_url,
        "IOTTLY_PROJECT": emulator.project_id,
    }


@pytest.fixture
def iottly(
    environment: dict[str, str],
    emulator: EmulatorThread,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """A function that runs `iottly` in this process, with its output in pipes."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COLUMNS", raising=False)  # the width of the terminal that runs the tests

    def run(*arguments: str) -> Result:
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    yield run
    emulator.clear_faults()


@contextmanager
def process(
    environment: dict[str, str], *arguments: str, **more: object
) -> Iterator[subprocess.Popen[str]]:
    """A running `iottly`; it is killed if it has not ended by the end of the block."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(  # type: ignore[call-overload]
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        text=True,
        **{**options, **more},
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the test's end and the program's end."""
    ours, theirs = os.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def read_until(fd: int, mark: bytes) -> bytes:
    """Read what a terminal shows until `mark` appears."""
    seen = b""
    while mark not in seen:
        seen += os.read(fd, 65536)
    return seen
