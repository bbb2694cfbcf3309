"""Fixtures that run the command line against an emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from iottly_async.__main__ import main
from iottly_async.cli.console import stdout
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
    stdout.cache_clear()  # an earlier test may have made it for another width

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


DRIVER = """
import json, os, sys
from iottly_async.__main__ import main
from iottly_async.cli.console import stderr, stdout
for environment, arguments in json.loads(sys.argv[1]):
    os.environ.update(environment)
    stdout.cache_clear()
    stderr.cache_clear()
    sys.stdout.write("@@@\\n")
    sys.stdout.flush()
    main(arguments)
"""


def shown_by(
    trials: Sequence[tuple[Mapping[str, str], Sequence[str]]],
    *,
    on_terminal: bool,
    stderr: bool = True,
) -> list[str]:
    """What commands write to stdout and stderr, together: one process runs them all.

    Args:
        trials: The environment variables and the arguments of each command. A variable stays for
            the commands after it.
        on_terminal: Whether stdout and stderr are a pseudo-terminal, or else a pipe.
        stderr: Whether that of stderr belongs to it.

    Returns:
        The text of each command, in the order of the trials.
    """
    program = [sys.executable, "-W", "error", "-c", DRIVER, json.dumps(trials)]
    options: dict[str, Any] = {
        "cwd": ROOT,
        "env": {**os.environ, "PYTHONUTF8": "1"},
        "stdin": subprocess.DEVNULL,
    }
    if on_terminal:
        ours, theirs = os.openpty()
        errors = theirs if stderr else subprocess.DEVNULL
        with subprocess.Popen(program, stdout=theirs, stderr=errors, **options):
            os.close(theirs)
            data = _read_to_end(ours)
        os.close(ours)
        data = data.replace(b"\r\n", b"\n")
    else:
        errors = subprocess.STDOUT if stderr else subprocess.DEVNULL
        data = subprocess.run(
            program, stdout=subprocess.PIPE, stderr=errors, timeout=120, **options
        ).stdout
    shown = data.decode().split("@@@\n")[1:]  # it is UTF-8: no surrogate was written
    assert len(shown) == len(trials), data
    return shown


def _read_to_end(terminal_end: int) -> bytes:
    """Read what a terminal shows until the program has ended."""
    data = b""
    with suppress(OSError):  # how Linux says that no program has the terminal open any more
        while found := os.read(terminal_end, 65536):
            data += found
    return data
