"""How far a run is: counters that the job keeps, and what they say about the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field, frozen

from ..models import Cursor, MessageBatch, Quota
from ..models._time import epoch_ms
from .bottleneck import TimeShares
from .report import DeviceOutcome, Outcome

_SPEED_OVER: Final = 10.0  # seconds that the present speed is taken over


@frozen(kw_only=True)
class Progress:
    """A snapshot of a run.

    Attributes:
        rows: messages stored by this run, rejected ones not counted.
        rejected: messages put to the rejected by this run.
        waiting: messages fetched and not yet stored.
        requests: attempts that the session made since the run began.
        devices: how many there are.
        done, failed: how many of them came to their end, or to an error.
        seconds: since the run began.
        rows_per_second: over the last ten seconds.
        share: how much of the range is stored, 0 to 1, by the devices' time covered so
            far and the rows found in it; None where nothing can be said yet.
        seconds_left: at the present speed; None where nothing can be said yet.
        quota: of the key, as known now.
        windows: stretches of time, over all devices, of which messages are still to come.
        cursor_age: seconds of the server's time that the store is behind, by the device
            that is furthest behind; failed ones apart. None where that is not known, as
            long as a device without a beginning has not been looked at.
        following: whether the range is done and new messages are awaited.
        shares: what the last ten seconds went by on; its `limit` is what is the limit now.
    """

    rows: int
    rejected: int
    waiting: int
    requests: int
    devices: int
    done: int
    failed: int
    seconds: float
    rows_per_second: float
    share: float | None
    seconds_left: float | None
    quota: Quota
    windows: int
    cursor_age: float | None
    following: bool
    shares: TimeShares


@define
class DeviceProgress:
    """One device in a run: what is stored of it.

    Attributes:
        cursor: after the last row stored; None at the beginning.
        before: messages of it that earlier runs stored.
        begin: where those of this run begin, in milliseconds; None until one is there.
    """

    device_id: str
    cursor: Cursor | None = None
    before: int = 0
    begin: int | None = None
    rows: int = 0
    rejected: int = 0
    outcome: Outcome = Outcome.STOPPED
    error: BaseException | None = None

    @property
    def total(self) -> int:
        """Messages stored of it by all runs."""
        return 0 if self.cursor is None else self.cursor.count

    @property
    def windows(self) -> int:
        """Stretches of time of which messages are still to come."""
        if self.outcome is not Outcome.STOPPED:
            return 0
        return 1 if self.cursor is None else len(self.cursor.remaining)

    def behind(self, start: int | None) -> int | None:
        """Up to where its messages are stored, in milliseconds; `start` is the range's."""
        return start if self.cursor is None else epoch_ms(self.cursor.done)

    def saw(self, batch: MessageBatch) -> None:
        """Note where the device's messages begin."""
        if batch.messages:
            first = epoch_ms(batch.messages[0].timestamp)
            self.begin = first if self.begin is None else min(first, self.begin)

    def expected(self, end: int) -> float | None:
        """How many messages it has up to `end`; None where there is nothing to judge by.

        It is taken to send as often in the rest of the range as in what this run stored.
        """
        if self.outcome is not Outcome.STOPPED:
            return self.total
        begin, cursor = self.begin, self.cursor
        if cursor is None or begin is None or end <= begin:
            return None
        left = sum(b - max(a, begin) for a, b in cursor.remaining if b > begin)
        share = 1 - left / (end - begin)
        return self.before + (self.total - self.before) / share if share > 0.001 else None

    def as_outcome(self) -> DeviceOutcome:
        """What the report says of it."""
        error = self.error
        return DeviceOutcome(
            device_id=self.device_id,
            outcome=self.outcome,
            rows=self.rows,
            rejected=self.rejected,
            total=self.total,
            error=None if error is None else str(error),
            error_type=None if error is None else type(error).__name__,
            status=getattr(error, "status", None),
        )


@define
class Meter:
    """The counters of a run.

    Attributes:
        now: tells seconds on a clock that never steps back.
        start, end: of the range, in milliseconds; `start` is None for the beginning.
        server_ahead: what to add to `now` for the server's time since the epoch, in seconds.
        courses: one a device.
        following: whether the range is done and new messages are awaited.
    """

    now: Callable[[], float]
    begun: float
    end: int
    courses: dict[str, DeviceProgress]
    start: int | None = None
    server_ahead: float = 0.0
    following: bool = False
    rows: int = 0
    rejected: int = 0
    waiting: int = 0
    _samples: deque[tuple[float, int]] = field(factory=deque)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self.now() - self.begun

    def course(self, device_id: str) -> DeviceProgress:
        """Of a device, also one that came to the project after the run began."""
        if device_id not in self.courses:
            self.courses[device_id] = DeviceProgress(device_id, outcome=Outcome.DONE)
        return self.courses[device_id]

    def cursor_age(self) -> float | None:
        """Seconds of the server's time that the store is behind."""
        stored = [
            course.behind(self.start)
            for course in self.courses.values()
            if course.outcome is not Outcome.FAILED
        ]
        known = [each for each in stored if each is not None]
        if not known or len(known) < len(stored):
            return None
        return max(0.0, self.now() + self.server_ahead - min(known) / 1000)

    def count(self, outcome: Outcome) -> int:
        """Devices of that outcome so far."""
        return sum(course.outcome is outcome for course in self.courses.values())

    def snapshot(self, *, requests: int, quota: Quota, shares: TimeShares) -> Progress:
        """How far the run is now."""
        speed = self._speed()
        total = expected(self.courses.values(), self.end)
        stored = sum(course.total for course in self.courses.values())
        left = None if total is None else max(0.0, total - stored)
        return Progress(
            rows=self.rows,
            rejected=self.rejected,
            waiting=self.waiting,
            requests=requests,
            devices=len(self.courses),
            done=self.count(Outcome.DONE),
            failed=self.count(Outcome.FAILED),
            seconds=self.seconds,
            rows_per_second=speed,
            share=None if not total else min(1.0, stored / total),
            seconds_left=None if left is None or speed <= 0 else left / speed,
            quota=quota,
            windows=sum(course.windows for course in self.courses.values()),
            cursor_age=self.cursor_age(),
            following=self.following,
            shares=shares,
        )

    def _speed(self) -> float:
        now, written = self.now(), self.rows + self.rejected
        samples = self._samples
        samples.append((now, written))
        while now - samples[0][0] > _SPEED_OVER:
            samples.popleft()
        since, before = samples[0] if now - self.begun > _SPEED_OVER else (self.begun, 0)
        return (written - before) / (now - since) if now > since else 0.0


def expected(courses: Iterable[DeviceProgress], end: int) -> float | None:
    """How many messages the devices have in the range, judged by what was stored of it.

    A device of which nothing can be said yet is taken for the mean of the others; None
    where there are no others.
    """
    judged = [course.expected(end) for course in courses]
    known = [each for each in judged if each is not None]
    if not known:
        return None
    return sum(known) / len(known) * len(judged)
