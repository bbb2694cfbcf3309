"""The state file of a store: the whole state, then a line for each change.

A flush appends one line with what has changed since the line before. So its cost does not grow
with the number of devices. When the changes take more room than the whole state, and when a job
begins, a new file with the whole state replaces the old one.

A line counts once it is whole. A crash may leave a part of the last line, which is ignored: the
state is then the one before, as if the flush had not begun. Each line ends with a checksum of
itself, so that a file which was altered is an error, and not another state.
"""

from __future__ import annotations

from secrets import token_hex
from typing import Final, Generic, TypeVar
from zlib import crc32

import msgspec

from ...errors import ConfigurationError
from .appendfile import AppendFile
from .aside import replace_file

_LEAST: Final = 64 * 1024  # bytes of changes below which the file is not replaced
_CHECK: Final = b',"check":"'
_CHECK_END: Final = len(_CHECK) + len('01234567"}')


class FileState(msgspec.Struct, kw_only=True):
    """What every state file holds. A line for a change has the same form.

    Attributes:
        version: of the store's format.
        id: random; the same in all lines of a store.
        change: the number of the line; one more than that of the line before.
        plan: the last plan; None before the first. In a change, None is no new plan.
        cursors: `Cursor.to_json` texts by device id. In a change, those that are new.
    """

    version: int
    id: str = msgspec.field(default_factory=lambda: token_hex(8))
    change: int = 0
    plan: str | None = None
    cursors: dict[str, str] = msgspec.field(default_factory=dict)


S = TypeVar("S", bound=FileState)


class StateLog(Generic[S]):
    """Writes a state file. All methods raise `OSError`.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: AppendFile | None = None
        self._whole = 0  # bytes of the first line

    def save(self, state: S, *, plan: str | None, cursors: dict[str, str]) -> None:
        """Save the state. It is durable on return.

        Args:
            state: the whole state. Its `change` is counted up.
            plan: the plan, if it has changed since the last call; else None.
            cursors: those that have changed since the last call.
        """
        file = self._file
        if file is None or file.size > 2 * self._whole + _LEAST:
            self._replace(state)
            return
        number = state.change + 1
        change = msgspec.structs.replace(state, change=number, plan=plan, cursors=cursors)
        file.append(_line(change))
        file.sync()
        state.change = number

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _replace(self, state: S) -> None:
        self.close()  # Windows does not replace an open file
        data = _line(state)
        replace_file(self._path, data)
        file = AppendFile(self._path)
        file.open(follow=False)
        self._file, self._whole = file, len(data)


def read_state(path: str, form: type[S], *, version: int) -> S | None:
    """The state in a file; None if there is no such file.

    Raises:
        ConfigurationError: the file is not such a state, or has another version.
        OSError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            first, *lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    state = _read(first, form)
    if state is None or state.version != version:
        raise ConfigurationError(
            f"{path!r} is not a state file of version {version}, which this library reads and "
            "writes; name another store"
        )
    del lines[-1:]  # empty, or the part of a line
    for number, line in enumerate(lines, 1):
        change = _read(line, form)
        if change is None and number == len(lines):
            break  # after a loss of power, the length of a line may be there without its content
        if change is None or (change.id, change.change) != (state.id, state.change + 1):
            raise ConfigurationError(
                f"line {number + 1} of {path!r} does not follow the one before: the state file "
                "was altered; restore it from a copy, or name another store"
            )
        state.cursors.update(change.cursors)
        change.cursors = state.cursors
        change.plan = state.plan if change.plan is None else change.plan
        state = change
    return state


def _read(line: bytes, form: type[S]) -> S | None:
    head, tail = line[:-_CHECK_END], line[-_CHECK_END:]
    # Earlier versions wrote no checksums.
    if b'"check":' in tail and tail != _check(head):
        return None
    try:
        return msgspec.json.decode(line, type=form)
    except (ValueError, RecursionError):
        return None


def _line(state: FileState) -> bytes:
    head = msgspec.json.encode(state)[:-1]
    return head + _check(head) + b"\n"


def _check(head: bytes) -> bytes:
    """The end of a line: a member with the checksum of what stands before it."""
    return b'%s%08x"}' % (_CHECK, crc32(head))
