"""What a job is to fetch: its query, the end pinned for it, and where each device goes on.

Pure values and decisions; nothing here awaits or knows a store. The plan is kept beside
the rows, so that a run that goes on where another was killed has the very same range.

========================== ==================================================
the last run into a store  the end of the next one
========================== ==================================================
was killed or stopped      the same, whatever time it is by now
came to its end            the server's now less `Config.settle`, or the end
                           asked for, where that is earlier
========================== ==================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from attrs import evolve, field, frozen

from ..errors import ConfigurationError, CursorMismatchError
from ..models import Cursor
from ..models._time import from_epoch_ms
from ..server_clock import is_ahead

VERSION: Final = 1


@frozen(kw_only=True)
class Query:
    """What was asked for; the same for every device of the job.

    Attributes:
        project_id: whose devices.
        type: "all", "userdefined" or "iottlyagent".
        start: milliseconds since the epoch, inclusive; None for the oldest there is.
        end: milliseconds since the epoch, exclusive; None for up to now.
    """

    project_id: str
    type: str = "all"
    start: int | None = None
    end: int | None = None


@frozen(kw_only=True)
class IngestPlan:
    """A query with its end pinned.

    Attributes:
        query: what was asked for.
        pinned_end: where every device's walk ends, in milliseconds since the epoch.
        ended: whether a run with this plan came to its end (one that was killed did not).
        failed: the devices whose last walk ended in an error, and the error's text.
        waiting: the devices of the run that have no cursor yet, when this was written.
    """

    query: Query
    pinned_end: int
    ended: bool = False
    failed: Mapping[str, str] = field(factory=dict, hash=False)
    waiting: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The plan as one line of JSON, for `from_json`."""
        query = self.query
        record = _PlanRecord(
            version=VERSION,
            project_id=query.project_id,
            type=query.type,
            start=query.start,
            end=query.end,
            pinned_end=self.pinned_end,
            ended=self.ended,
            failed=dict(self.failed),
            waiting=self.waiting,
        )
        return msgspec.json.encode(record).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> IngestPlan:
        """The plan that `to_json` wrote.

        Raises:
            CursorMismatchError: it is not one, or of another version.
        """
        try:
            record = msgspec.json.decode(text, type=_PlanRecord)
        except (ValueError, RecursionError):
            record = None
        if record is None:
            raise CursorMismatchError("the store's plan was not written by this library")
        if record.version != VERSION:
            raise CursorMismatchError(
                f"the store's plan has version {record.version}, this library reads {VERSION}"
            )
        query = Query(
            project_id=record.project_id, type=record.type, start=record.start, end=record.end
        )
        return cls(
            query=query,
            pinned_end=record.pinned_end,
            ended=record.ended,
            failed=record.failed,
            waiting=record.waiting,
        )


class _PlanRecord(msgspec.Struct, frozen=True):
    version: int
    project_id: str
    type: str
    start: int | None
    end: int | None
    pinned_end: int
    ended: bool
    failed: dict[str, str] = {}
    waiting: tuple[str, ...] = ()


def next_plan(
    query: Query, held: IngestPlan | None, *, server_now: float, settle: float
) -> IngestPlan:
    """The plan of the run that begins now.

    Args:
        query: what is asked for.
        held: the plan that the store holds; None for an empty store.
        server_now: seconds since the epoch, on the server's clock.
        settle: seconds before it at which walks end (D11).

    Raises:
        CursorMismatchError: the store is of another query, or of another server.
        ConfigurationError: the range has not begun.
    """
    if held is not None:
        _check_same(query, held)
        _check_past(held, server_now)
        if not held.ended and held.query == query:
            return evolve(held, waiting=())
    end = int((server_now - settle) * 1000)
    if query.end is not None:
        end = min(end, query.end)
    if held is not None:
        # A server's clock may step back a little; what was fetched stays fetched.
        end = max(end, held.pinned_end)
    if query.start is not None and query.start >= end:
        raise ConfigurationError(
            f"start, {_iso(query.start)}, must lie before the server's now, which is "
            f"{_iso(int(server_now * 1000))}: there is nothing to fetch yet"
        )
    failed = {} if held is None else held.failed
    return IngestPlan(query=query, pinned_end=end, failed=failed)


def _check_same(query: Query, held: IngestPlan) -> None:
    other = held.query
    differing = [
        f"{name} is {_shown(name, getattr(other, name))} there "
        f"and {_shown(name, getattr(query, name))} here"
        for name in ("project_id", "type", "start")
        if getattr(other, name) != getattr(query, name)
    ]
    if query.end is not None and query.end < held.pinned_end:
        differing.append(
            f"it holds messages up to {_iso(held.pinned_end)}, and end is {_iso(query.end)} here"
        )
    if differing:
        raise CursorMismatchError(
            f"the store is of another query: {'; '.join(differing)}; "
            "take the same arguments, or another store"
        )


def _check_past(held: IngestPlan, server_now: float) -> None:
    if is_ahead(held.pinned_end / 1000, server_now):
        raise CursorMismatchError(
            f"the store's plan ends at {_iso(held.pinned_end)}, but the server's clock shows "
            f"{_iso(int(server_now * 1000))}: the store was filled from another server"
        )


def cursor_for(plan: IngestPlan, device_id: str, saved: Cursor | None) -> Cursor | None:
    """Where a device's walk goes on; None for its beginning, a finished one for nothing to do.

    A cursor of an earlier run ends where that run did: what lies between there and the
    plan's end is added to what remains of it.

    Raises:
        CursorMismatchError: the cursor is of another query.
    """
    if saved is None:
        return None
    query = plan.query
    expected = (query.project_id, device_id, query.type, "asc", query.start)
    if (saved.project_id, saved.device_id, saved.type, saved.order, saved.start) != expected:
        raise CursorMismatchError(
            f"the store's cursor of device {device_id} is of another query than its plan: "
            "the store was altered"
        )
    end = plan.pinned_end
    remaining = list(saved.remaining)
    if saved.pinned_end < end:
        joins = bool(remaining) and remaining[-1][1] == saved.pinned_end
        begin = remaining.pop()[0] if joins else saved.pinned_end
        remaining.append((begin, end))
    elif saved.end == end:
        return saved
    return evolve(saved, end=end, pinned_end=max(end, saved.pinned_end), remaining=tuple(remaining))


def _shown(name: str, value: object) -> str:
    if value is None:
        return "open"
    return _iso(value) if name == "start" and isinstance(value, int) else repr(value)


def _iso(ms: int) -> str:
    return from_epoch_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
