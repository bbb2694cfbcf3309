"""The page about the emulator: what it names is there."""

import inspect
import re
from pathlib import Path
from typing import get_args

import attrs
import pytest

from iottly_async.emulator import (
    DEVELOPMENT_KEY,
    Emulator,
    EmulatorClock,
    EmulatorSettings,
    Fault,
    FaultKind,
    OutageKind,
)
from iottly_async.emulator.options import PREFIX, read_settings

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text("utf-8")
SETTINGS = {field.name for field in attrs.fields(EmulatorSettings)}
NAMES = SETTINGS | {
    *(field.name for field in attrs.fields(Fault)),
    *(name for name, _ in inspect.getmembers(Emulator)),
    *(name for name, _ in inspect.getmembers(EmulatorClock)),
    *inspect.signature(Emulator.fault).parameters,
    *inspect.signature(Emulator.append_raw).parameters,
    *inspect.signature(Emulator.outage).parameters,
}


def test_each_variable_is_a_setting() -> None:
    """A variable of the page is one that the process reads, with a value that it accepts."""
    given = dict(re.findall(rf"({PREFIX}\w+): (\S+)", PAGE))
    assert len(given) > 5
    settings = read_settings({}, given | {f"{PREFIX}CONTROL_TOKEN": "a-token-of-the-team"})
    assert settings.allowed_hosts == ("emulator", "localhost:8123")
    assert {name.removeprefix(PREFIX).lower() for name in given} <= SETTINGS
    assert set(re.findall(rf"{PREFIX}(\w+)", PAGE)) <= {name.upper() for name in SETTINGS}


def test_each_name_in_the_table_exists() -> None:
    """Settings, methods, faults and outages of the table are those of the emulator."""
    (table,) = re.findall(r"\| to try \| use \|\n((?:\|.*\n)*)", PAGE)
    code = re.findall(r"`([^`]*)`", table)
    assert len(code) > 30
    for kind in re.findall(r'fault\("(\w+)"', table):
        assert kind in get_args(FaultKind)
    for kind in re.findall(r'`(?:emulator\.outage\()?"(\w+)"[,`]', table):
        assert kind in (*get_args(OutageKind), "sliding", "bucket")
    for name in {word for text in code for word in re.findall(r"\b([a-z]+(?:_[a-z]+)+)\b", text)}:
        assert name in NAMES | {"device_id", "iottly_async"}, name


@pytest.mark.parametrize("name", ["IOTTLY_API_KEY: ", "IOTTLY_PROJECT: "])
def test_the_credentials_are_the_emulator_s(name: str) -> None:
    """The key and the project of the page are those that every emulator has."""
    for found in re.findall(rf"{name}(\S+)", PAGE):
        assert found in (DEVELOPMENT_KEY, EmulatorSettings().project_id)
