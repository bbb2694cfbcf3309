"""The cursor of a walk: its query, and which part of the range remains.

It is a plain value. It is stored as JSON with the messages that it follows, and read back
after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from attrs import frozen

from ..errors import CursorMismatchError
from ._model import Model
from ._time import from_epoch_ms
from ._token import Secret, content_of, signed

Order = Literal["asc", "desc"]
Interval = tuple[int, int]

Moment = tuple[int, int]
"""A moment by the server's clock and by the local one, in milliseconds since the epoch."""

LookBack = Callable[[], tuple[int, tuple[tuple[int, str], ...]]]
"""Computes `Cursor.recent_from` and `Cursor.recent`."""

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
    240 µs that a page takes. And a cursor that is not stored must not cost the hashes of
    messages: `recent_from` and `recent` may be left out, and are computed by `look_back` when
    one of them is first read.
    """

    __slots__ = (
        "__weakref__",
        "count",
        "device_id",
        "end",
        "look_back",
        "newest",
        "oldest",
        "order",
        "pinned_end",
        "project_id",
        "recent",
        "recent_from",
        "remaining",
        "stamped",
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
        pinned_end: where the walk ended or ends, in milliseconds of the server's clock, if
            `end` is open or in the future. It is not where a walk goes on; see `recent_from`.
        count: number of messages yielded so far. Default 0.
        newest: of an ascending walk, the newest millisecond of which a message was yielded;
            None (the default) if there was none.
        oldest: of an ascending walk, the oldest such millisecond; None (the default) if there
            was none, or the walk began with a version that did not note it.
        stamped: a time that the clock that stamps messages has reached, and the moment by the
            server's clock and by the local one; None (the default) if none is known.
        recent_from: where an ascending walk without an end goes on: about the lookback before
            `newest`, and never later than it or `pinned_end` (D11). None (the default) for a
            descending walk, or a cursor of a version before this.
        recent: the millisecond and a shortened hash of each message that was yielded from
            `recent_from` on, so that none of them is yielded again; 10,000 at most. Empty by
            default.
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
    newest: int | None = None
    oldest: int | None = None
    stamped: tuple[int, int, int] | None = None
    recent_from: int | None = None
    recent: tuple[tuple[int, str], ...] = ()
    version: int = VERSION

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # A walk's cursor has neither of these before one is first read.
            if name not in ("recent_from", "recent"):
                raise AttributeError(f"Cursor has no attribute {name!r}", name=name, obj=self)
            found = dict(zip(("recent_from", "recent"), self.look_back(), strict=True))
            for each, value in found.items():
                object.__setattr__(self, each, value)
            object.__setattr__(self, "look_back", None)  # so that its messages can be freed
            return found[name]

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
        everything from it on. A walk without an end is behind its newest message (D11).
        """
        if self.order == "asc":
            ms = self.remaining[0][0] if self.remaining else self.pinned_end
            if not self.remaining and self.end is None and self.newest is not None:
                ms = min(ms, self.newest + 1)
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
        if self.newest is not None:
            form |= {"newest": self.newest, "stamped": self.stamped}
        if self.oldest is not None:
            form |= {"oldest": self.oldest}
        if self.recent_from is not None:
            form |= {"recent": self.recent, "recent_from": self.recent_from}
        return msgspec.json.encode(form).decode()

    def to_token(self, secret: Secret | Sequence[Secret]) -> str:
        """Write the cursor as a signed text, for `from_token`.

        Whoever gets the token can resume the walk, and can read the cursor, but cannot make
        one of another device, range or number of requests. So it is the form for a URL, a
        form or a page that comes back from outside.

        Example:
            ```python
            token = batch.cursor.to_token(secret)
            cursor = Cursor.from_token(token, secret)
            ```

        Args:
            secret: 16 bytes or more, such as ``secrets.token_hex(32)``, the same in all
                processes. Of several, the first one signs.

        Returns:
            A text of letters, digits, ``-``, ``_`` and one dot.

        Raises:
            ConfigurationError: a secret is too short, or there is none.
        """
        return signed(self.to_json(), secret)

    @classmethod
    def from_token(cls, token: str, secret: Secret | Sequence[Secret]) -> Cursor:
        """Read a cursor that `to_token` wrote.

        Args:
            token: of `to_token`, or any other text.
            secret: the one that signed. If there are several, any of them may have signed: to
                replace a secret, put the new one first, and remove the old one later.

        Returns:
            The cursor.

        Raises:
            CursorMismatchError: the text is not a token, or none of the secrets has signed it.
            ConfigurationError: a secret is too short, or there is none.
        """
        return cls.from_json(content_of(token, secret))

    @classmethod
    def from_json(cls, text: str | bytes) -> Cursor:
        """Read a cursor that `to_json` wrote.

        The text is not signed: whoever can change it can make a cursor of another query.
        `from_token` reads what comes from outside.

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
            newest=form.newest,
            oldest=form.oldest,
            stamped=form.stamped,
            recent_from=form.recent_from,
            recent=tuple(form.recent),
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
    newest: int | None = None
    oldest: int | None = None
    stamped: tuple[int, int, int] | None = None
    recent: list[tuple[int, str]] = []
    recent_from: int | None = None


def _is_sound(cursor: Cursor) -> bool:
    flat: list[Any] = [edge for interval in cursor.remaining for edge in interval]
    ascending = all(a < b for a, b in cursor.remaining) and flat == sorted(flat)
    times = [*flat, cursor.pinned_end, *(at for at, _ in cursor.recent)]
    marks = (cursor.newest, cursor.oldest, cursor.recent_from)
    times += [at for at in marks if at is not None]
    return ascending and cursor.count >= 0 and all(YEAR_1 <= at <= YEAR_10000 for at in times)
