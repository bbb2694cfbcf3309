"""The list of commands, and `iottly --help`, printed without the packages that commands need.

Importing cyclopts and rich, and the modules of all commands, takes a sixth of a second. The first
thing that users type needs none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Final

from .exit_codes import MEANINGS, ExitCode

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "ping": ("project", "Check that the service answers."),
    "inspect": ("project", "Print the summary of the project."),
    "licenses": ("project", "List the project's licences and the devices that use them."),
    "devices": ("project", "List the project's devices."),
    "rename": ("project", "Rename a device."),
    "send": ("commands", "Send a command of the project to a device. It is never sent twice."),
    "run": ("commands", "Run a command on a device, and print its result. It is never sent twice."),
    "messages": (
        "messages",
        "Print the latest messages of a device, all between two times, or new ones.",
    ),
    "tail": ("tail", "Print new messages of devices as they come, until Ctrl-C or SIGTERM."),
    "ingest": (
        "ingest",
        "Fetch the messages of a project's devices into a store, each exactly once.",
    ),
    "compact": (
        "compact",
        "Merge the small files of a Parquet store, and convert one that an earlier version made.",
    ),
    "coverage": (
        "coverage",
        "Show which devices and times a store holds, and which are missing.",
    ),
    "quota": ("quota", "Show how many requests the key has left, as the service says it."),
    "doctor": ("doctor", "Find out what the service does where its documents are silent."),
    "emulator": (
        "emulator",
        "Run an emulated Iottly cloud with generated devices, until Ctrl-C.",
    ),
}
"""The module of each command, which is imported when the command is used, and what it is for: the
first sentences of its docstring."""

OVERVIEW: Final[Sequence[list[str]]] = ([], ["--help"], ["-h"], ["help"])
"""The command lines that show the overview."""

DESCRIPTION: Final = (
    "Use the Iottly IoT cloud from a shell.\n\n"
    "The API key is never an argument. It is read from IOTTLY_API_KEY; or printed by the "
    'profile\'s key_command, such as key_command = "pass show iottly"; or kept in the '
    "system's keyring (pip install keyring; keyring set iottly PROFILE); or asked for on a "
    "terminal.\n\n"
    "IOTTLY_PROJECT names the project, IOTTLY_BASE_URL another host, and other settings have "
    "variables, too, such as IOTTLY_TIMEOUT. An option comes before a variable, that before "
    "the profile, and that before the default.\n\n"
    "Exit codes:\n" + "\n".join(f"{code:3d}  {MEANINGS[code]}" for code in ExitCode)
)

_MORE: Final = {
    "help": "Show the help of a command, the list of settings, or the man page.",
    "--completion": "Complete commands and options in your shell.",
    "--help (-h)": "Display this message and exit.",
    "--version": "Display application version.",
}
_WIDTH: Final = 80  # columns where no terminal says how many there are
_LEAST: Final = 12  # columns for what a command is for, on any terminal
_BOX: Final = ("╭", "╮", "╰", "╯", "─", "│")
_ASCII_BOX: Final = ("+", "+", "+", "+", "-", "|")


def print_overview() -> int:
    """Print the commands, the exit codes, and where settings come from.

    Returns:
        The exit code.
    """
    lines = _lines(_width(), styled=_styled(), box=_BOX if _has_box() else _ASCII_BOX)
    sys.stdout.write("\n".join(lines) + "\n")
    return ExitCode.DONE


def _lines(width: int, *, styled: bool, box: tuple[str, ...]) -> Iterator[str]:
    """Lay the overview out. Pure."""
    bold, cyan, end = ("\x1b[1m", "\x1b[36m", "\x1b[0m") if styled else ("", "", "")
    yield f"{bold}Usage: iottly COMMAND{end}"
    yield ""
    for line in DESCRIPTION.split("\n"):
        yield from wrap(line, width, drop_whitespace=True) or [""]
    yield ""
    left_top, right_top, left_bottom, right_bottom, across, down = box
    summaries = {**{name: COMMANDS[name][1] for name in COMMANDS}, **_MORE}
    names = max(map(len, summaries))
    room = max(_LEAST, width - names - len(f"{down}   {down} "))
    inside = names + room + 4
    yield f"{left_top}{f'{across} Commands '.ljust(inside, across)}{right_top}"
    for name in sorted(summaries, key=lambda name: (name.startswith("-"), name)):
        shown = name
        for line in wrap(summaries[name], room):
            yield f"{down} {cyan}{shown.ljust(names)}{end}  {line.ljust(room)} {down}"
            shown = ""
    yield f"{left_bottom}{across * inside}{right_bottom}"


def _width() -> int:
    """The columns of the terminal. A pager may hide stdout's; then another stream has it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    for descriptor in (0, 1, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if size.columns:
            return size.columns
    return _WIDTH


def _styled() -> bool:
    """Whether stdout shows colours."""
    known = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    asked = bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
    return known and asked and not os.environ.get("NO_COLOR") and os.name == "posix"


def _has_box() -> bool:
    """Whether stdout can encode the lines of a box."""
    try:
        "".join(_BOX).encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
