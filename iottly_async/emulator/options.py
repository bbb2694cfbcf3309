"""The settings as texts: what the command line and the environment give.

Every field of ``EmulatorSettings`` can be given as ``--its-name`` and as
``IOTTLY_EMULATOR_ITS_NAME``. The items of a list are separated by commas, and so are the ends of a
range of seconds. An object is JSON. ``none`` stands for None.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from inspect import getdoc
from typing import Any

import attrs

from .rows import load_json
from .settings import CommandDefaults, EmulatorSettings, Latency, Tier
from .times import read_text, to_datetime

PREFIX = "IOTTLY_EMULATOR_"
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_ENTRY = re.compile(r"^ {4}(\w+): ((?:.|\n {8})*)", re.MULTILINE)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting to a parser; an option that is not given is None."""
    described = dict(_ENTRY.findall(getdoc(EmulatorSettings) or ""))
    for field in attrs.fields(EmulatorSettings):
        option = f"--{field.name.replace('_', '-')}"
        text = " ".join(described.get(field.name, "").split()).replace("``", "").replace("%", "%%")
        if field.type is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
        elif field.name == "allowed_hosts":
            names = (option.removesuffix("s"), option)
            parser.add_argument(*names, dest=field.name, action="append", metavar="NAME", help=text)
        else:
            parser.add_argument(option, metavar="VALUE", help=text)


def read_settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> EmulatorSettings:
    """Make the settings from options and from the environment; options go first.

    Args:
        given: Options by the names of the settings: texts, lists of texts, or values that need not
            be read. None is an option that is not given.
        environment: The variables of the environment. An empty one is one that is not set.

    Returns:
        The settings.

    Raises:
        ValueError: A value cannot be read or is not allowed; the text names where it stands.
    """
    values: dict[str, Any] = {}
    for field in attrs.fields(EmulatorSettings):
        variable = PREFIX + field.name.upper()
        option, value = given.get(field.name), environment.get(variable)
        if option is not None:
            text = ",".join(option) if isinstance(option, list) else option
            read = isinstance(text, str)
            values[field.name] = _read(field.type, field.name, text) if read else text
        elif value:
            values[field.name] = _read(field.type, variable, value)
    return EmulatorSettings(**values)


def read_number(environment: Mapping[str, str], name: str) -> float | None:
    """A number from the environment that is not a setting; None if it is not set."""
    value = environment.get(PREFIX + name)
    return float(_read(float, PREFIX + name, value)) if value else None


def _read(kind: Any, label: str, text: str) -> Any:
    try:
        return _READERS.get(kind, str)(text)
    except ValueError as error:
        raise ValueError(f"{label}={text!r}: {error}") from None


def _flag(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError("must be true or false")
    return text.lower() in _YES


def _whole_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == "none" else read(text)


def _seconds(text: str) -> Latency:
    low, comma, high = text.partition(",")
    return (float(low), float(high)) if comma else float(low)


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _json_object(text: str) -> dict[str, Any]:
    value = load_json(text, strict=True)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - the text is wrong
    return value


def _time(text: str) -> datetime:
    return to_datetime(read_text(text))


_READERS: dict[Any, Callable[[str], Any]] = {
    bool: _flag,
    int: int,
    float: float,
    datetime: _time,
    Latency: _seconds,
    int | str: _whole_or_text,
    int | None: _or_none(int),
    int | Tier | None: _or_none(_whole_or_text),
    tuple[str, ...]: _items,
    CommandDefaults: _json_object,
    frozenset[str]: lambda text: frozenset(_items(text)),
}
"""How the text of a setting is read, by the setting's type; any other type takes the text."""
