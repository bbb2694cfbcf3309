"""The command line in this process, against an emulated cloud."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from iottly_async.__main__ import main
from iottly_async.emulator import EmulatorThread


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[Any]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """A fleet of five devices and 2,000 messages."""
    with EmulatorThread(devices=5, messages=2_000) as emulator:
        yield emulator


@pytest.fixture
def environment(emulator: EmulatorThread) -> dict[str, str]:
    """What points a program at the emulator."""
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
    """Run `iottly` with arguments, its output in pipes."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Done:
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Done(code, out, err)

    yield run
    emulator.clear_faults()
