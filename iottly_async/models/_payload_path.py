"""Paths in payloads, such as ``sensor_data_reading.temperature`` or ``phases[0].volts``.

A path is names of members, and places in arrays. The whole path may also be the name of one member,
such as ``echo.content``: that is looked for if nothing is found by its parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

Steps = tuple[str | int, ...]
"""Names of members, and places in arrays."""

_MEMBER: Final = r"[^.\[\]\"'\\\x00-\x1f]+(\[\d{1,9}\])*"
_PATH: Final = re.compile(rf"{_MEMBER}(\.{_MEMBER})*")
_STEP: Final = re.compile(r"[^.\[\]]+|\[\d+\]")


def is_path(path: object) -> bool:
    """Whether it is the text of a path. Quotes, backslashes and control characters are none."""
    return isinstance(path, str) and _PATH.fullmatch(path) is not None


def steps_of(path: str) -> Steps:
    """The steps of a path."""
    return tuple(int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(path))


def candidates_of(path: str) -> list[Steps]:
    """What a path may mean, in the order in which it is looked for."""
    return [steps_of(path), *([(path,)] if "." in path else [])]


def reader_of(path: str) -> Callable[[Any], Any]:
    """A function that reads the value at a path of a decoded payload; None if it is missing."""
    candidates = candidates_of(path)

    def read(payload: Any) -> Any:
        for steps in candidates:
            value = payload
            for step in steps:
                if type(value) is dict:
                    value = value.get(step)
                elif type(value) is list and type(step) is int and step < len(value):
                    value = value[step]
                else:
                    value = None
                    break
            if value is not None:
                return value
        return None

    return read
