"""Finds what limits a run, the quota, the network, decoding or the store, by frequent samples.

Between two samples, the event loop's thread worked for some of the time, which its CPU clock
shows. The rest of the time it waited. What it waited for is seen at the sample:

- the store, if a walk is blocked by it;
- else the quota and the network, in proportion to the calls that wait for each;
- else nothing, for example between two polls of a follower.

So the shares add up to 1.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from attrs import define, field, frozen

Bottleneck = Literal["quota", "network", "decoding", "store"]

_BOTTLENECKS: Final[tuple[Bottleneck, ...]] = ("quota", "network", "decoding", "store")
_LEAST: Final = 0.05  # a smaller share of the time limits nothing
_RECENT: Final = 10.0  # seconds


@frozen(kw_only=True)
class TimeShares:
    """What the time of a run was spent on: shares of 0 to 1, together 1.

    Before the first sample all shares are 0.

    Attributes:
        quota: waiting for a permit within the quota.
        network: waiting for the service's answers.
        decoding: working: decoding answers, walking, validating rows. It includes all other
            work of the program in the event loop's thread.
        store: waiting for the store to take what was fetched.
        idle: waiting for nothing of these: between two polls of a follower, or between two
            attempts of a call.
    """

    quota: float = 0.0
    network: float = 0.0
    decoding: float = 0.0
    store: float = 0.0
    idle: float = 0.0

    @property
    def bottleneck(self) -> Bottleneck | None:
        """What has the largest share; None if every share is below 5 %."""
        most = max(_BOTTLENECKS, key=self._share)
        return most if self._share(most) >= _LEAST else None

    def as_dict(self) -> dict[str, float | str | None]:
        """The bottleneck and the shares as plain values, for a report.

        Returns:
            ``bottleneck``, and each share by its name, rounded to three digits.
        """
        shares = {name: round(self._share(name), 3) for name in (*_BOTTLENECKS, "idle")}
        return {"bottleneck": self.bottleneck, **shares}

    def __str__(self) -> str:
        """For example "quota 97 %, network 2 %, decoding 1 %, store 0 %, idle 0 %"."""
        return ", ".join(
            f"{name} {self._share(name):.0%}".replace("%", " %") for name in (*_BOTTLENECKS, "idle")
        )

    def _share(self, name: str) -> float:
        share: float = getattr(self, name)
        return share


@define
class _TimeSpent:
    """Seconds by what they were spent on, from the start of the run until `at`."""

    at: float
    quota: float = 0.0
    network: float = 0.0
    decoding: float = 0.0
    store: float = 0.0
    idle: float = 0.0


@define
class BottleneckMeter:
    """Adds up what a run's time is spent on.

    Args:
        now: seconds of a monotonic clock.
        cpu: seconds that the event loop's thread has worked.
    """

    _now: float
    _cpu: float
    _spent: _TimeSpent = field(init=False)
    _samples: deque[_TimeSpent] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._spent = _TimeSpent(self._now)
        self._samples = deque([self._spent])

    def sample(
        self, now: float, cpu: float, *, waiting: int, in_flight: int, store_busy: bool
    ) -> None:
        """Add the time since the last sample.

        Args:
            now: as in the constructor.
            cpu: as in the constructor.
            waiting: calls that wait for a permit within the quota.
            in_flight: calls that wait for an answer.
            store_busy: whether a walk waits for the store.
        """
        passed = max(0.0, now - self._now)
        worked = min(passed, max(0.0, cpu - self._cpu))
        waited = passed - worked
        self._now, self._cpu = now, cpu
        last = self._spent
        calls = waiting + in_flight
        for_calls = waited if not store_busy and calls else 0.0
        self._spent = _TimeSpent(
            now,
            quota=last.quota + for_calls * waiting / max(calls, 1),
            network=last.network + for_calls * in_flight / max(calls, 1),
            decoding=last.decoding + worked,
            store=last.store + (waited if store_busy else 0.0),
            idle=last.idle + (waited if not store_busy and not calls else 0.0),
        )
        self._samples.append(self._spent)
        while len(self._samples) > 2 and now - self._samples[1].at >= _RECENT:
            self._samples.popleft()

    def shares(self) -> TimeShares:
        """The shares of the whole run."""
        return _between(_TimeSpent(0.0), self._spent)

    def recent(self) -> TimeShares:
        """The shares of the last ten seconds."""
        return _between(self._samples[0], self._spent)


def _between(before: _TimeSpent, after: _TimeSpent) -> TimeShares:
    spent = {name: getattr(after, name) - getattr(before, name) for name in (*_BOTTLENECKS, "idle")}
    total = sum(spent.values())
    if total <= 0:
        return TimeShares()
    return TimeShares(**{name: seconds / total for name, seconds in spent.items()})
