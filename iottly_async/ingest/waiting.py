"""What a run waits for, quota or the service, and for how long it has waited in all. Pure."""

from __future__ import annotations

from typing import Final, Literal

from attrs import define, frozen

from ..models import Outage, Quota

WaitingFor = Literal["quota", "service"]

_SHORT: Final = 1.0  # seconds; a shorter stop for quota is the ordinary pace of requests


@frozen(kw_only=True)
class Waiting:
    """What a run waits for now.

    Attributes:
        reason: "quota" or "service".
        seconds: until the quota's window ends, None if that is not known; or since the
            service is away.
    """

    reason: WaitingFor
    seconds: float | None


@define
class WaitMeter:
    """Adds up what a run has waited for.

    Args:
        now: seconds of a monotonic clock.

    Attributes:
        quota: seconds in which calls waited for quota and no request was under way.
        service: seconds in which the service was away.
        current: what the run waits for now; None if it goes on.
    """

    _now: float
    quota: float = 0.0
    service: float = 0.0
    current: Waiting | None = None
    _stopped: float = 0.0

    def sample(self, now: float, wall: float, *, quota: Quota, outage: Outage | None) -> None:
        """Add the time since the last sample.

        Args:
            now: as in the constructor.
            wall: seconds since the epoch.
            quota: of the key, as known now.
            outage: of the service; None if it answers.
        """
        passed, self._now = max(0.0, now - self._now), now
        stopped = outage is None and quota.waiting > 0 and quota.in_flight == 0
        self._stopped = self._stopped + passed if stopped else 0.0
        if outage is not None:
            self.service += passed
            self.current = Waiting(reason="service", seconds=outage.seconds)
        elif self._stopped >= _SHORT:
            # The part of the wait that seemed to be the ordinary pace is added now.
            self.quota += passed if self.current is not None else self._stopped
            self.current = Waiting(reason="quota", seconds=_until_reset(quota, wall))
        else:
            self.current = None


def _until_reset(quota: Quota, wall: float) -> float | None:
    if quota.resets_at is None:
        return None
    return max(0.0, quota.resets_at.timestamp() - wall)
