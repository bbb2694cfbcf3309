"""The plan of a job: its query, the pinned end of its range, and where each device goes on.

All of it is pure. The plan is stored beside the rows, so that a run that resumes another has
the same range. The end of a run's range depends on the run before:

- If that was killed or stopped, the end is the same, whatever time it is now.
- If it reached its end, the new end is the server's present time less `Config.settle`, or
  the query's `end` if that is earlier.
- If its end lies far in the future, its clock was wrong, and counts no more.

The end says how far a run goes. It does not say where the next one goes on: that is behind the
newest message that was stored (D11), whatever the clocks have shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from attrs import evolve, field, frozen

from ..errors import ConfigurationError, CursorMismatchError
from ..models import Cursor
from ..models._time import utc_text
from ..server_clock import is_ahead
from ..walk.axis import union
from .stores.base import StoredState

VERSION: Final = 1


@frozen(kw_only=True)
class Query:
    """What a job asks for. It is the same for every device of the job.

    Attributes:
        project_id: the project's id.
        type: "all", "userdefined" or "iottlyagent". Default "all".
        start: milliseconds since the epoch, inclusive; None is the oldest message.
        end: milliseconds since the epoch, exclusive; None is the present.
    """

    project_id: str
    type: str = "all"
    start: int | None = None
    end: int | None = None


@frozen(kw_only=True)
class IngestPlan:
    """A query with a pinned end.

    Attributes:
        query: what the job asks for.
        pinned_end: where the walk of every device ends, in milliseconds since the epoch.
        ended: whether a run with this plan reached its end. A run that was killed did not.
        failed: the error's text of each device whose last walk ended in an error, by its id.
        waiting: the devices that had no cursor yet when the plan was written.
    """

    query: Query
    pinned_end: int
    ended: bool = False
    failed: Mapping[str, str] = field(factory=dict, hash=False)
    waiting: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The plan as one line of JSON.

        Returns:
            A text for `from_json`.
        """
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
        """Read a plan that `to_json` wrote.

        Args:
            text: the text.

        Returns:
            The plan.

        Raises:
            CursorMismatchError: the text is not a plan, or has another version.
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
    """A plan as it is written."""

    version: int
    project_id: str
    type: str
    start: int | None
    end: int | None
    pinned_end: int
    ended: bool
    failed: dict[str, str] = {}
    waiting: tuple[str, ...] = ()


def stored_plan(
    stored: StoredState, devices: Iterable[str] | None = None, *, shown: str
) -> tuple[IngestPlan | None, dict[str, Cursor]]:
    """Read the plan and the cursors of a store.

    Args:
        stored: what the store holds.
        devices: whose cursors are read; None is all.
        shown: the store's name in errors.

    Returns:
        The plan, None in a new store; and the cursors by device id.

    Raises:
        CursorMismatchError: one of them is no such text. The error names the store.
    """
    texts = stored.cursors
    chosen = texts if devices is None else [one for one in devices if one in texts]
    cursors: dict[str, Cursor] = {}
    subject = "its plan"
    try:
        plan = None if stored.plan is None else IngestPlan.from_json(stored.plan)
        for device_id in chosen:
            subject = f"its cursor of device {device_id!r}"
            cursors[device_id] = Cursor.from_json(texts[device_id])
    except CursorMismatchError as error:
        reason = str(error)
    else:
        return plan, cursors
    raise CursorMismatchError(f"{shown} cannot be continued or read, {subject} is wrong: {reason}")


def next_plan(
    query: Query, last: IngestPlan | None, *, server_now: float, settle: float
) -> IngestPlan:
    """The plan of the run that begins now.

    Args:
        query: what the job asks for.
        last: the plan in the store; None for a new store.
        server_now: seconds since the epoch, on the server's clock.
        settle: how many seconds before `server_now` walks end (D11).

    Returns:
        A plan with a pinned end.

    Raises:
        CursorMismatchError: the store is of another query.
        ConfigurationError: the range begins in the future.
    """
    end = int((server_now - settle) * 1000)
    if query.end is not None:
        end = min(end, query.end)
    if last is not None:
        wrong = is_ahead(last.pinned_end / 1000, server_now)
        _check_same_query(query, evolve(last, pinned_end=end) if wrong else last)
        if not last.ended and last.query == query and not wrong:
            return evolve(last, waiting=())
        if not wrong:
            # A server's clock may step back a little. The end must not, for rows are stored.
            end = max(end, last.pinned_end)
    if query.start is not None and query.start >= end:
        raise ConfigurationError(
            f"start, {utc_text(query.start)}, must lie before the server's now, which is "
            f"{utc_text(int(server_now * 1000))}: there is nothing to fetch yet"
        )
    failed = {} if last is None else last.failed
    return IngestPlan(query=query, pinned_end=end, failed=failed)


def _check_same_query(query: Query, last: IngestPlan) -> None:
    other = last.query
    differing = [
        f"{name} is {_shown(name, getattr(other, name))} there "
        f"and {_shown(name, getattr(query, name))} here"
        for name in ("project_id", "type", "start")
        if getattr(other, name) != getattr(query, name)
    ]
    if query.end is not None and query.end < last.pinned_end:
        differing.append(
            f"it holds messages up to {utc_text(last.pinned_end)}, "
            f"and end is {utc_text(query.end)} here"
        )
    if differing:
        raise CursorMismatchError(
            f"the store is of another query: {'; '.join(differing)}; "
            "take the same arguments, or another store"
        )


def check_server(cursors: Iterable[Cursor], *, server_now: float, local_now: float) -> None:
    """Check that no stored message lies in the future of this server and of this machine.

    Args:
        cursors: of the devices.
        server_now: seconds since the epoch on the server's clock.
        local_now: seconds since the epoch on the local clock.

    Raises:
        CursorMismatchError: one does: it was fetched from another server.
    """
    newest = max((each.newest for each in cursors if each.newest is not None), default=None)
    if newest is not None and is_ahead(newest / 1000, max(server_now, local_now)):
        raise CursorMismatchError(
            f"the store has a message of {utc_text(newest)}, but the server's clock shows "
            f"{utc_text(int(server_now * 1000))}: the store was filled from another server"
        )


def cursor_for(plan: IngestPlan, device_id: str, saved: Cursor | None) -> Cursor | None:
    """The cursor from which a device's walk goes on.

    If the earlier run had another end, what is new since then is added to the remaining
    intervals: from behind the newest message that was stored, or a little before it (D11), to
    the plan's end.

    Args:
        plan: of the run that begins.
        device_id: of the device.
        saved: the device's cursor in the store; None if there is none.

    Returns:
        None to begin at the start of the range; a finished cursor if there is nothing to do.

    Raises:
        CursorMismatchError: the cursor is of another query than the plan.
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
    if saved.end == end:
        return saved
    begin = saved.pinned_end
    if saved.recent_from is not None:
        begin = min(begin, saved.recent_from)
    remaining = [(low, min(high, end)) for low, high in [*saved.remaining, (begin, end)]]
    remaining = union([each for each in remaining if each[0] < each[1]])
    return evolve(saved, end=end, pinned_end=end, remaining=tuple(remaining))


def _shown(name: str, value: object) -> str:
    if value is None:
        return "open"
    return utc_text(value) if name == "start" and isinstance(value, int) else repr(value)
