"""How far a run is: the counters that a job keeps, and the estimates made from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from ..models import Cursor, MessageBatch, Quota
from ..models.message_batch import rows_of
from .bottleneck import TimeShares
from .report import DeviceOutcome, Outcome
from .totals import Contribution, Totals
from .waiting import Waiting, WaitingFor

_SPEED_OVER: Final = 10.0  # seconds over which the present speed is averaged, at least
_WINDOW: Final = 60.0  # seconds of a quota's window, until it is known
_SAMPLE_EVERY: Final = 0.2  # seconds between two samples of what is stored, at least


@frozen(kw_only=True)
class Progress:
    """A snapshot of a run.

    Attributes:
        rows: messages that this run stored, without rejected ones.
        rejected: messages that this run rejected.
        waiting: messages that are fetched and not yet stored.
        requests: attempts that the session has made since the run began.
        devices: the number of devices.
        done: the number of devices that reached their end.
        failed: the number of devices that ended in an error.
        seconds: since the run began.
        rows_per_second: over the last ten seconds, or over the quota's last window if that is
            longer. A quota that is spent in bursts gives an even speed.
        share: how much of the range is stored, 0 to 1. It is estimated from the devices'
            time covered so far and the rows found in it, up to the time where the project's
            data seem to end. None if there is nothing to estimate from yet.
        seconds_left: until all messages are stored, at the present speed. None if there is nothing
            to estimate from yet.
        quota: of the key, as known now.
        intervals: the intervals of time, over all devices, that are not fetched yet.
        cursor_age: seconds of the server's time by which the store is behind. It is that of
            the device that is furthest behind; failed devices do not count. None if `start`
            is open and a device has no cursor yet.
        following: whether the range is done and the job waits for new messages.
        shares: what the last ten seconds were spent on; `shares.bottleneck` names what
            limits the run now.
        waiting_for: what the run stands still for: "quota", or "service" in an outage. None
            if it goes on.
        waiting_seconds: for quota, until the quota's window ends; for the service, since it
            is away. None if the run goes on, or if that is not known.
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
    intervals: int
    cursor_age: float | None
    following: bool
    shares: TimeShares
    waiting_for: WaitingFor | None = None
    waiting_seconds: float | None = None


@define
class DeviceProgress:
    """The progress of one device in a run.

    Attributes:
        device_id: of the device.
        cursor: after the last row that was stored; None before the first.
        before: messages that earlier runs stored.
        first: the time of the first message of this run, in milliseconds since the epoch;
            None before one was fetched.
        rows: messages that this run stored, without rejected ones.
        rejected: messages that this run rejected.
        outcome: `Outcome.STOPPED` until the device's walk ends.
        error: the error that ended the walk; None without one.
    """

    device_id: str
    cursor: Cursor | None = None
    before: int = 0
    first: int | None = None
    rows: int = 0
    rejected: int = 0
    outcome: Outcome = Outcome.STOPPED
    error: BaseException | None = None

    @property
    def total(self) -> int:
        """Messages that all runs stored."""
        return 0 if self.cursor is None else self.cursor.count

    @property
    def intervals(self) -> int:
        """The number of intervals of time that are not fetched yet."""
        if self.outcome is not Outcome.STOPPED:
            return 0
        return 1 if self.cursor is None else len(self.cursor.remaining)

    def complete_until(self, start: int | None) -> int | None:
        """The time up to which all messages were fetched and are stored, in milliseconds.

        Without a cursor it is `start`, the range's start.
        """
        cursor = self.cursor
        if cursor is None:
            return start
        return cursor.remaining[0][0] if cursor.remaining else cursor.pinned_end

    def note_first(self, batch: MessageBatch) -> None:
        """Remember the time of the first message."""
        if rows := rows_of(batch):
            first = rows[0].at
            self.first = first if self.first is None else min(first, self.first)

    def expected(self, end: int) -> int | None:
        """The estimated number of messages up to `end`; None without a basis for it.

        The device is assumed to send as often in the rest of the range as in the part that
        this run has stored.
        """
        if self.outcome is not Outcome.STOPPED:
            return self.total
        first, cursor = self.first, self.cursor
        if cursor is None or first is None or end <= first:
            return None
        missing = sum(max(0, min(high, end) - max(low, first)) for low, high in cursor.remaining)
        share = 1 - missing / (end - first)
        return self.before + round((self.total - self.before) / share) if share > 0.001 else None

    def contribution(self, start: int | None, end: int) -> Contribution:
        """What the device adds to the sums of a run from `start` to `end`."""
        return Contribution(
            outcome=self.outcome,
            stored=self.total,
            intervals=self.intervals,
            expected=self.expected(end),
            complete_until=self.complete_until(start),
        )

    def as_outcome(self) -> DeviceOutcome:
        """The device's part of the report."""
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


def _none() -> int:
    return 0


@define
class Meter:
    """The counters of a run.

    Attributes:
        now: returns the seconds of a monotonic clock.
        begun: when the run began, by `now`.
        start: of the range, in milliseconds since the epoch; None for the oldest message.
        end: of the range, in milliseconds since the epoch.
        server_ahead: seconds to add to `now` for the server's time since the epoch.
        data_end: where the messages of the project seem to end, in milliseconds since the
            epoch, as those of one device do. None if that is not known, or if a later message
            was fetched.
        devices: the progress of each device, by its id.
        following: whether the range is done and the job waits for new messages.
        rows: messages stored, without rejected ones.
        rejected: messages rejected.
        unstored: returns the number of rows that are fetched and not yet stored.
    """

    now: Callable[[], float]
    begun: float
    devices: dict[str, DeviceProgress] = field(factory=dict)
    start: int | None = None
    end: int = 0
    server_ahead: float = 0.0
    data_end: int | None = None
    following: bool = False
    rows: int = 0
    rejected: int = 0
    unstored: Callable[[], int] = _none
    _samples: deque[tuple[float, int]] = field(factory=deque)
    _totals: Totals = field(factory=Totals, init=False)

    def __attrs_post_init__(self) -> None:
        self._add_up()

    @property
    def total(self) -> int:
        """Messages in the store from all runs, with rejected ones."""
        return self._totals.stored

    @property
    def waiting(self) -> int:
        """Messages fetched and not yet stored."""
        return self.unstored()

    def stored(self, device_id: str, cursor: Cursor, *, rows: int, rejected: int) -> None:
        """Note rows of a device that were stored, and the cursor that follows them."""
        device = self.devices[device_id]
        device.cursor = cursor
        device.rows += rows
        device.rejected += rejected
        self.rows += rows
        self.rejected += rejected
        self._changed(device)

    def fetched(self, batch: MessageBatch) -> None:
        """Note a batch that is not stored yet."""
        device = self.device(batch.cursor.device_id)
        first = device.first
        device.note_first(batch)
        newest = batch.cursor.newest
        if self.data_end is not None and newest is not None and newest >= self.data_end:
            self.data_end = None
            self._add_up()
        if device.first != first:
            self._changed(device)

    def ended(self, device_id: str, error: BaseException | None) -> None:
        """Note that the walk of a device has ended, or goes on after an error."""
        device = self.device(device_id)
        device.error = error
        device.outcome = Outcome.DONE if error is None else Outcome.FAILED
        self._changed(device)

    @property
    def seconds(self) -> float:
        """The seconds since the run began."""
        return self.now() - self.begun

    def begin(
        self,
        devices: dict[str, DeviceProgress],
        *,
        start: int | None,
        end: int,
        server_ahead: float,
        data_end: int | None = None,
    ) -> None:
        """Set what the plan of the run says."""
        self.devices, self.start, self.end = devices, start, end
        self.server_ahead, self.data_end = server_ahead, data_end
        self._add_up()

    def device(self, device_id: str) -> DeviceProgress:
        """The progress of a device; added if the device is new to the project."""
        if device_id not in self.devices:
            device = self.devices[device_id] = DeviceProgress(device_id, outcome=Outcome.DONE)
            self._changed(device)
        return self.devices[device_id]

    def cursor_age(self) -> float | None:
        """The seconds of the server's time by which the store is behind."""
        until = self._totals.complete_until()
        if until is None:
            return None
        return max(0.0, self.now() + self.server_ahead - until / 1000)

    def count(self, outcome: Outcome) -> int:
        """The number of devices with an outcome."""
        return self._totals.count(outcome)

    def _add_up(self) -> None:
        self._totals = Totals()
        for device in self.devices.values():
            self._changed(device)

    def _changed(self, device: DeviceProgress) -> None:
        self._totals.replace(device.device_id, device.contribution(self.start, self._end_of_data()))

    def snapshot(
        self,
        *,
        requests: int,
        quota: Quota,
        shares: TimeShares,
        waiting: Waiting | None = None,
    ) -> Progress:
        """How far the run is now."""
        speed = self._speed(quota)
        total, stored = self._totals.expected(), self._totals.stored
        missing = None if total is None else max(0.0, total - stored)
        return Progress(
            rows=self.rows,
            rejected=self.rejected,
            waiting=self.waiting,
            requests=requests,
            devices=len(self.devices),
            done=self.count(Outcome.DONE),
            failed=self.count(Outcome.FAILED),
            seconds=self.seconds,
            rows_per_second=speed,
            share=None if not total else min(1.0, stored / total),
            seconds_left=None if missing is None or speed <= 0 else missing / speed,
            quota=quota,
            intervals=self._totals.intervals,
            cursor_age=self.cursor_age(),
            following=self.following,
            shares=shares,
            waiting_for=None if waiting is None else waiting.reason,
            waiting_seconds=None if waiting is None else waiting.seconds,
        )

    def _end_of_data(self) -> int:
        return self.end if self.data_end is None else min(self.end, self.data_end)

    def _speed(self, quota: Quota) -> float:
        """Rows a second, over one window of the quota at least."""
        now, written = self.now(), self.rows + self.rejected
        over = _SPEED_OVER
        if quota.limit is not None:
            over = max(over, _WINDOW if quota.window is None else quota.window)
        samples = self._samples
        if not samples or now - samples[-1][0] >= _SAMPLE_EVERY:
            samples.append((now, written))
        while len(samples) > 1 and now - samples[1][0] >= over:
            samples.popleft()
        since, before = samples[0] if now - self.begun > over else (self.begun, 0)
        # What a quota allows for a window may be spent in the window's first seconds.
        spent = quota.waiting > 0 and quota.limit is not None
        passed = max(now - since, over) if spent else now - since
        return (written - before) / passed if passed > 0 else 0.0
