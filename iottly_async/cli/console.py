"""Texts for stdout and stderr, escaped, and the two consoles.

A text from outside, such as a device's name, may hold characters that steer a terminal. Every
text is escaped here: before it is laid out, so that its width is right, and once more where
consoles render, for texts that come another way, such as cyclopts' errors.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TextIO

from ..texts import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GOOD: Final = "color(28)"
BAD: Final = "color(160)"
WARNING: Final = "color(166)"
MARKED: Final = "color(32)"
FAINT: Final = "color(243)"
"""Colours that can be read on a light and on a dark terminal."""

_WIDE: Final = 10_000  # columns where no width is known: nothing is wrapped


def shown(value: Any) -> str:
    """Format a value for a table, escaped."""
    if value is None:
        return ""
    if isinstance(value, str):
        return escaped(value)
    return json_of(value).decode()


def plain(text: str, style: str = "") -> Text:
    """A text from outside for a table or a chart, escaped."""
    from rich.text import Text  # here, as a command that prints JSON needs no rich

    return Text(escaped(text), style)


def json_of(value: Any) -> bytes:
    """Encode a value as JSON in one line, with what steers a terminal escaped."""
    from msgspec.json import encode  # here, so that `iottly --help` starts quickly

    try:
        return escaped(encode(value).decode()).encode()
    except UnicodeEncodeError:  # a lone surrogate, which msgspec does not encode
        return escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def iso(time: datetime) -> str:
    """Format an aware UTC time as ISO text with milliseconds and a Z."""
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_ms(ms: int) -> str:
    """Format milliseconds since the epoch as ISO text in UTC."""
    from ..models._time import from_epoch_ms  # here, so that `iottly --help` loads no models

    return iso(from_epoch_ms(ms))


def write_text(text: str, to: TextIO) -> None:
    """Print a text of several lines, with tabs as spaces and what steers a terminal escaped.

    Args:
        text: The text. A missing end of the last line is added.
        to: Where it is printed.
    """
    for line in text.splitlines():
        to.write(escaped(line.expandtabs()) + "\n")
    to.flush()


def say(text: str) -> None:
    """Print a line to stderr."""
    stderr().print(plain(f"iottly: {text}"), soft_wrap=True)


@cache
def stderr() -> Console:
    """The console for everything but data."""
    from .escaping_console import EscapingConsole

    return EscapingConsole(stderr=True, highlight=False)


@cache
def stdout() -> Console:
    """The console for tables and charts. In a pipe, COLUMNS is its width, which watch(1) sets."""
    from .escaping_console import EscapingConsole

    columns = os.environ.get("COLUMNS", "")
    known = sys.stdout.isatty() or (columns.isdecimal() and int(columns) > 0)
    return EscapingConsole(highlight=False, width=None if known else _WIDE)
