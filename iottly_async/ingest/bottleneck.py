"""Which of quota, network, decoding and store is the limit of a run: measured by looking often.

Between two looks the event loop's thread worked for some of the time, which its CPU clock
tells; the rest it waited. What for is seen at the look: for the store, where a walk is held
up by it; else for turns within the quota and for answers, as many calls as wait for each;
else for nothing, as a follower does between two messages. So the shares add up to one.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from attrs import define, field, frozen

Limit = Literal["quota", "network", "decoding", "store"]

_LIMITS: Final[tuple[Limit, ...]] = ("quota", "network", "decoding", "store")
_LEAST: Final = 0.05  # of the time; what has less of it limits nothing
_OVER: Final = 10.0  # seconds that the present shares are taken over


@frozen(kw_only=True)
class TimeShares:
    """What the time of a run went by on, each 0 to 1; together 1, or 0 before the first look.

    Attributes:
        quota: waiting for a turn within the quota.
        network: waiting for the service's answers.
        decoding: working: reading answers, walking, gathering rows; all of the event
            loop's thread, whatever else the program does in it.
        store: waiting for the store to take what was fetched.
        idle: nothing to wait for: a follower between two looks, a call between two attempts.
    """

    quota: float = 0.0
    network: float = 0.0
    decoding: float = 0.0
    store: float = 0.0
    idle: float = 0.0

    @property
    def limit(self) -> Limit | None:
        """What a faster one of would speed the run up most; None where nothing was waited for."""
        most = max(_LIMITS, key=self._share)
        return most if self._share(most) >= _LEAST else None

    def as_dict(self) -> dict[str, float | str | None]:
        """The shares and the limit, for a report."""
        shares = {name: round(self._share(name), 3) for name in (*_LIMITS, "idle")}
        return {"limit": self.limit, **shares}

    def __str__(self) -> str:
        """Such as "quota 97 %, network 2 %, decoding 1 %, store 0 %, idle 0 %"."""
        return ", ".join(
            f"{name} {self._share(name):.0%}".replace("%", " %") for name in (*_LIMITS, "idle")
        )

    def _share(self, name: str) -> float:
        share: float = getattr(self, name)
        return share


@define
class _Spent:
    """Seconds by what they went by on, up to a moment."""

    at: float
    quota: float = 0.0
    network: float = 0.0
    decoding: float = 0.0
    store: float = 0.0
    idle: float = 0.0


@define
class BottleneckMeter:
    """Keeps the account of a run's time.

    Args:
        now: seconds on a clock that never steps back.
        cpu: seconds that the event loop's thread has worked.
    """

    _now: float
    _cpu: float
    _spent: _Spent = field(init=False)
    _samples: deque[_Spent] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._spent = _Spent(self._now)
        self._samples = deque([self._spent])

    def look(self, now: float, cpu: float, *, waiting: int, in_flight: int, held_up: bool) -> None:
        """Book the time since the last look.

        Args:
            now, cpu: as in the constructor.
            waiting: calls that wait for a turn within the quota.
            in_flight: calls that wait for an answer.
            held_up: whether a walk waits for the store.
        """
        passed = max(0.0, now - self._now)
        worked = min(passed, max(0.0, cpu - self._cpu))
        waited = passed - worked
        self._now, self._cpu = now, cpu
        last = self._spent
        calls = waiting + in_flight
        free = waited if not held_up and calls else 0.0
        self._spent = _Spent(
            now,
            quota=last.quota + free * waiting / max(calls, 1),
            network=last.network + free * in_flight / max(calls, 1),
            decoding=last.decoding + worked,
            store=last.store + (waited if held_up else 0.0),
            idle=last.idle + (waited if not held_up and not calls else 0.0),
        )
        self._samples.append(self._spent)
        while len(self._samples) > 2 and now - self._samples[1].at >= _OVER:
            self._samples.popleft()

    def shares(self) -> TimeShares:
        """Of the whole run."""
        return _between(_Spent(0.0), self._spent)

    def recent(self) -> TimeShares:
        """Of the last ten seconds."""
        return _between(self._samples[0], self._spent)


def _between(before: _Spent, after: _Spent) -> TimeShares:
    parts = {name: getattr(after, name) - getattr(before, name) for name in (*_LIMITS, "idle")}
    whole = sum(parts.values())
    return (
        TimeShares(**{name: part / whole for name, part in parts.items()})
        if whole > 0
        else TimeShares()
    )
