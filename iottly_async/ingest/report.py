"""What came of a run: in all, and of each device."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from attrs import asdict, field, frozen

from .bottleneck import TimeShares


class Outcome(StrEnum):
    """What became of a device in a run."""

    DONE = "done"
    """All its messages of the range are in the store."""
    FAILED = "failed"
    """An error ended its walk; the next run goes on there."""
    STOPPED = "stopped"
    """The run was stopped before its walk ended; the next run goes on there."""


@frozen(kw_only=True)
class DeviceOutcome:
    """A device in a run.

    Attributes:
        device_id: of the device.
        outcome: what became of it.
        rows: messages of it stored by this run, rejected ones not counted.
        rejected: messages of it that this run put to the rejected.
        total: messages of it that the store has from all runs, rejected ones included.
        error: the text of the error that ended its walk; None where none did.
        error_type: that error's class, such as "ForbiddenError"; None where none did.
        status: the error's HTTP status; None where there was no error, or no answer.
    """

    device_id: str
    outcome: Outcome
    rows: int = 0
    rejected: int = 0
    total: int = 0
    error: str | None = None
    error_type: str | None = None
    status: int | None = None


@frozen(kw_only=True)
class IngestReport:
    """A run, once it is over.

    Attributes:
        project_id: whose devices.
        rows: messages stored by this run, rejected ones not counted.
        rejected: messages put to the rejected, with their reason.
        total: messages that the store has from all runs, rejected ones included.
        requests: attempts that the session made meanwhile, of other users of it too.
        seconds: how long the run took.
        interrupted: whether it was stopped before its end (`IngestJob.stop`).
        start, end: the range in milliseconds since the epoch; `start` is None for the
            oldest message, `end` is where this run ended, exclusive.
        devices: one a device, in the order of the job.
        followed: whether the range was done and new messages were awaited.
        shares: what the run's time went by on; `shares.limit` is what limited it.
    """

    project_id: str
    rows: int
    rejected: int
    total: int
    requests: int
    seconds: float
    interrupted: bool
    start: int | None
    end: int | None
    devices: tuple[DeviceOutcome, ...]
    followed: bool = False
    shares: TimeShares = field(factory=TimeShares)

    @property
    def rows_per_second(self) -> float:
        """Messages stored a second, on the average of the run."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def done(self) -> int:
        """Devices whose messages of the range are all in the store."""
        return self._count(Outcome.DONE)

    @property
    def failed(self) -> int:
        """Devices whose walk ended in an error."""
        return self._count(Outcome.FAILED)

    def _count(self, outcome: Outcome) -> int:
        return sum(device.outcome is outcome for device in self.devices)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for a file or a log."""
        plain = asdict(self)
        plain["devices"] = [
            {**device, "outcome": str(device["outcome"])} for device in plain["devices"]
        ]
        plain.update(
            rows_per_second=round(self.rows_per_second, 1),
            done=self.done,
            failed=self.failed,
            shares=self.shares.as_dict(),
        )
        return plain
