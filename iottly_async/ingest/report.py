"""The report of a run: in all, and for each device."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import asdict, field, frozen

from .bottleneck import TimeShares


class Outcome(StrEnum):
    """How a run ended for a device."""

    DONE = "done"
    """All its messages in the range are stored."""
    FAILED = "failed"
    """An error ended its walk. The next run goes on there."""
    STOPPED = "stopped"
    """The run was stopped before its walk ended. The next run goes on there."""


@frozen(kw_only=True)
class DeviceOutcome:
    """What a run did for a device.

    Attributes:
        device_id: the device's id.
        outcome: how the run ended for it.
        rows: its messages that this run stored, without rejected ones.
        rejected: its messages that this run rejected.
        total: its messages in the store from all runs, with rejected ones.
        error: the text of the error that ended its walk; None without an error.
        error_type: the class of that error, for example "ForbiddenError"; None without one.
        status: the error's HTTP status; None without an error, or without an answer.
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
    """The report of a run that is over.

    Attributes:
        project_id: the project's id.
        rows: messages that this run stored, without rejected ones.
        rejected: messages that this run rejected.
        total: messages in the store from all runs, with rejected ones.
        requests: attempts that the session made during the run, for other callers too.
        seconds: how long the run took.
        interrupted: whether the run was stopped before its end (`IngestJob.stop`).
        start: of the range, inclusive, in milliseconds since the epoch; None is the oldest
            message.
        end: of the range, exclusive, in milliseconds since the epoch; None if the run was
            stopped before it had a range.
        devices: one outcome for each device, in the job's order.
        followed: whether the job completed the range and then followed.
        shares: what the run's time was spent on; `shares.bottleneck` names what limited it.
        quota_seconds: seconds in which the run stood still for quota.
        outage_seconds: seconds in which the service was away, and the run waited for it.
        clashes: values of another type than their typed column's, where they are null; their
            number by the column's name. Empty without such values.
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
    quota_seconds: float = 0.0
    outage_seconds: float = 0.0
    clashes: Mapping[str, int] = field(factory=dict)

    @property
    def rows_per_second(self) -> float:
        """Messages stored a second, averaged over the run; 0 for a run of no time."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def done(self) -> int:
        """The number of devices whose messages in the range are all stored."""
        return self._count(Outcome.DONE)

    @property
    def failed(self) -> int:
        """The number of devices whose walk ended in an error."""
        return self._count(Outcome.FAILED)

    def _count(self, outcome: Outcome) -> int:
        return sum(device.outcome is outcome for device in self.devices)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for a file or a log.

        Returns:
            The attributes by name, and ``rows_per_second``, ``done`` and ``failed``.
        """
        plain = asdict(self)
        plain["devices"] = [
            {**device, "outcome": str(device["outcome"])} for device in plain["devices"]
        ]
        plain.update(
            rows_per_second=round(self.rows_per_second, 1),
            done=self.done,
            failed=self.failed,
            shares=self.shares.as_dict(),
            quota_seconds=round(self.quota_seconds, 1),
            outage_seconds=round(self.outage_seconds, 1),
        )
        return plain
