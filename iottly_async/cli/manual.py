"""The man page, made from the same commands, options and texts as `--help`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from textwrap import wrap
from typing import Any, Final

from cyclopts import App

from .._version import __version__
from .docstrings import meanings, paragraphs
from .exit_codes import MEANINGS, ExitCode
from .settings import ORDER, setting_rows

_OWN: Final = ("--help", "-h", "--version")
"""Options of the whole command line, which cyclopts lists among the commands."""

_WIDEST: Final = 78  # columns of a line, so that mandoc does not complain


def manual(app: App) -> str:
    """Write the man page.

    Args:
        app: with all commands.

    Returns:
        A page for the macros of man(7), in ASCII.
    """
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f'.TH IOTTLY 1 {today} "iottly-async {__version__}" "User Commands"',
        ".SH NAME",
        _text("iottly - use the Iottly IoT cloud from a shell"),
        ".SH SYNOPSIS",
        r"\fBiottly\fR \fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(text for text in paragraphs(app.help)[1:] if not text.startswith("Exit")),
        ".SH COMMANDS",
    ]
    for name in app:
        if name not in _OWN:
            lines += _command(name, app[name])
    lines += [".SH ENVIRONMENT", _text(ORDER)]
    for row in setting_rows():
        lines += [".TP", _bold(row.variable), _text(row.text)]
    lines += [".SH FILES", ".TP", _italic("~/.config/iottly/config.toml")]
    lines += [_text("Profiles: tables of settings. A profile never holds a key.")]
    lines += [".SH EXIT STATUS"]
    for code in ExitCode:
        lines += [".TP", _bold(str(int(code))), _text(MEANINGS[code])]
    return "\n".join(lines) + "\n"


def _command(name: str, command: App) -> Iterator[str]:
    means = meanings(command.help, "Args")
    arguments = [each for each in command.assemble_argument_collection() if each.show]
    yield f".SS iottly {_roff(name)}"
    yield from _paragraphs(paragraphs(command.help))
    for argument in arguments:
        yield ".TP"
        yield _heading(argument)
        name = argument.name.lstrip("-").replace("-", "_").lower()
        yield _text(" ".join(_sentences(argument, argument.parameter.help or means.get(name, ""))))


def _heading(argument: Any) -> str:
    names = [_bold(name) for name in argument.names]
    if not argument.names[0].startswith("-"):
        return _italic(argument.names[0])
    value = "" if argument.is_flag() else " " + _italic(_metavar(argument))
    return ", ".join(names) + value


def _metavar(argument: Any) -> str:
    return str(argument.name).lstrip("-").upper()


def _sentences(argument: Any, meaning: str) -> Iterator[str]:
    if meaning:
        yield meaning if meaning.endswith(".") else f"{meaning}."
    choices = argument.get_choices()
    if choices:
        yield f"One of {', '.join(choices)}."
    if argument.required:
        yield "Required."
    default = argument.field_info.default
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, str | int | float) and not isinstance(default, bool):
        yield f"Default: {default}."
    variables = argument.parameter.env_var or ()
    if variables:
        yield f"Variable: {', '.join(variables)}."


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:  # a section begins with a paragraph
            yield ".PP"
        yield _text(text)


def _bold(text: str) -> str:
    return rf"\fB{_roff(text)}\fR"


def _italic(text: str) -> str:
    return rf"\fI{_roff(text)}\fR"


def _text(text: str) -> str:
    """Write a text as lines, in which what stands in backquotes is bold."""
    parts = re.split(r"``?", text)
    escaped = "".join(_bold(part) if n % 2 else _roff(part) for n, part in enumerate(parts))
    lines = wrap(escaped, _WIDEST, break_long_words=False, break_on_hyphens=False)
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _roff(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return "".join(c if c.isascii() else rf"\[u{ord(c):04X}]" for c in escaped)
