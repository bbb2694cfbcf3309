"""The cursor of a walk: its query, and which part of the range remains.

It is a plain value. It is stored as JSON with the messages that it follows, and read back
after a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
from attrs import frozen

from ..errors import CursorMismatchError
from ._model import Model
from ._time import from_epoch_ms

Order = Literal["asc", "desc"]
Interval = tuple[int, int]

VERSION: Final = 1

YEAR_1: Final = -62_135_596_800_000
YEAR_10000: Final = 253_402_300_800_000
"""The range of milliseconds that a cursor may contain."""


def query_fingerprint(
    *,
    project_id: str,
    device_id: str,
    type: str,  # noqa: A002 - the field's own name, as in every method that takes it
    order: Order,
    start: int | None,
    end: int | None,
) -> str:
    """A short hash of a walk's query: equal for equal queries, stable across versions.

    `start` and `end` are milliseconds since the epoch; None is open.
    """
    text = msgspec.json.encode([project_id, device_id, type, order, start, end])
    return blake2b(text, digest_size=8).hexdigest()


class CursorDraft(Model):
    """A cursor under construction, as `MessageDraft` is a message.

    A walk makes one cursor a page. The `__init__` of a frozen class would take 4 µs of the
    240 µs that a page takes.
    """

    __slots__ = (
        "__weakref__",
        "count",
        "device_id",
        "end",
        "order",
        "pinned_end",
        "project_id",
        "recent",
        "recent_from",
        "remaining",
        "start",
        "type",
        "version",
    )


@frozen(kw_only=True)
class Cursor(CursorDraft):
    """The position of a walk, from which it resumes.

    Store it together with the messages of its batch, and pass it to `messages.batches` or
    `messages.follow` to resume after them.

    Example:
        ```python
        text = batch.cursor.to_json()
        cursor = Cursor.from_json(text)
        async for batch in project.messages.batches(cursor.device_id, cursor=cursor):
            ...
        ```

    Attributes:
        project_id: of the query.
        device_id: of the query.
        type: of the query: "all", "userdefined" or "iottlyagent".
        order: of the query: "asc" or "desc".
        start: first millisecond of the query's range, since the epoch; None if it is open.
        end: end of the query's range in milliseconds since the epoch, exclusive; None if it
            is open.
        remaining: half-open intervals of milliseconds that were not yielded yet, ascending
            and disjoint: one for a walk in order, several for a parallel one, none if all
            was yielded.
        pinned_end: where the walk ends, in milliseconds of the server's clock, if `end` is
            open or in the future.
        count: number of messages yielded so far. Default 0.
        recent: for a walk with a lookback, the millisecond and a shortened hash of each
            message that was yielded from `recent_from` on. Empty by default.
        recent_from: the millisecond from which `recent` is complete; None (the default)
            without a lookback.
        version: of the cursor's format. Default: the current one.
    """

    project_id: str
    device_id: str
    type: str
    order: Order
    start: int | None
    end: int | None
    remaining: tuple[Interval, ...]
    pinned_end: int
    count: int = 0
    recent: tuple[tuple[int, str], ...] = ()
    recent_from: int | None = None
    version: int = VERSION

    @property
    def fingerprint(self) -> str:
        """A hash of the cursor's query."""
        return query_fingerprint(
            project_id=self.project_id,
            device_id=self.device_id,
            type=self.type,
            order=self.order,
            start=self.start,
            end=self.end,
        )

    @property
    def finished(self) -> bool:
        """Whether all messages of the range were yielded."""
        return not self.remaining

    @property
    def done(self) -> datetime:
        """How far the walk is, as an aware UTC time.

        Of an ascending walk, everything before it was yielded; of a descending one,
        everything from it on.
        """
        if self.order == "asc":
            ms = self.remaining[0][0] if self.remaining else self.pinned_end
        else:
            ms = self.remaining[-1][1] if self.remaining else (self.start or 0)
        return from_epoch_ms(ms)

    def to_dict(self) -> dict[str, Any]:
        """Convert the cursor to values that JSON has: what `to_json` writes.

        Returns:
            A new dict.
        """
        form: dict[str, Any] = msgspec.json.decode(self.to_json())
        return form

    def keys(self) -> Sequence[str]:
        """The names that `to_dict` has.

        Returns:
            Names of fields, in their order.
        """
        return list(self.to_dict())

    def __getitem__(self, name: str) -> Any:
        """The value that `to_dict` has by this name."""
        return self.to_dict()[name]

    def _nested(self) -> str:
        return self.to_json()

    def to_json(self) -> str:
        """Write the cursor as JSON, for `from_json`.

        Returns:
            One line of text.
        """
        form = {
            "version": self.version,
            "project": self.project_id,
            "device": self.device_id,
            "type": self.type,
            "order": self.order,
            "start": self.start,
            "end": self.end,
            "pinned_end": self.pinned_end,
            "remaining": self.remaining,
            "count": self.count,
            "fingerprint": self.fingerprint,
        }
        if self.recent_from is not None:
            form |= {"recent": self.recent, "recent_from": self.recent_from}
        return msgspec.json.encode(form).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Cursor:
        """Read a cursor that `to_json` wrote.

        Args:
            text: of `to_json`.

        Returns:
            The cursor.

        Raises:
            CursorMismatchError: the text is not a cursor, is of another version, or was
                altered.
        """
        try:
            form = msgspec.json.decode(text, type=_CursorJSON)
        except (ValueError, TypeError, RecursionError):
            form = None
        if form is None:
            raise CursorMismatchError("this text is not a cursor written by Cursor.to_json()")
        if form.version != VERSION:
            raise CursorMismatchError(
                f"the cursor has version {form.version}, this library reads version {VERSION}"
            )
        cursor = cls(
            project_id=form.project,
            device_id=form.device,
            type=form.type,
            order=form.order,
            start=form.start,
            end=form.end,
            remaining=tuple(form.remaining),
            pinned_end=form.pinned_end,
            count=form.count,
            recent=tuple(form.recent),
            recent_from=form.recent_from,
        )
        if cursor.fingerprint != form.fingerprint or not _is_sound(cursor):
            raise CursorMismatchError("the cursor was altered after it was written")
        return cursor


class _CursorJSON(msgspec.Struct, frozen=True):
    version: int
    project: str
    device: str
    type: str
    order: Order
    start: int | None
    end: int | None
    pinned_end: int
    remaining: list[tuple[int, int]]
    count: int
    fingerprint: str
    recent: list[tuple[int, str]] = []
    recent_from: int | None = None


def _is_sound(cursor: Cursor) -> bool:
    flat: list[Any] = [edge for interval in cursor.remaining for edge in interval]
    ascending = all(a < b for a, b in cursor.remaining) and flat == sorted(flat)
    times = [*flat, cursor.pinned_end, *(at for at, _ in cursor.recent)]
    return ascending and cursor.count >= 0 and all(YEAR_1 <= at <= YEAR_10000 for at in times)
