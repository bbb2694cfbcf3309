"""A rate that is learned where refusals bring no limit headers (D17). Pure.

A bare 429, or a proxy's 503 among successes, tells that there is a limit and nothing more. So
the rate is learned from what passes:

- It starts as what has passed in the last seconds.
- At each refusal it is set between what `Throughput` proves and what was refused.
- With every request that passes it grows: slowly at first, so that refusals stay rare, then ever
  faster, so that a limit that was lifted is noticed. When it has grown by far, it is forgotten.

Requests go at that rate, with a burst after a rest: as many as have passed at once before.
While everything is refused, `DrySpells` says when to probe. When a long dry spell ends, as much
may go at once as the rate has earned meanwhile. It is released step by step, two requests for
each that passes, because the server need not have windows.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Final

from .dry_spells import DrySpells
from .observe import SettledPermit
from .throughput import Throughput

__all__ = ["LearnedRate"]

_START: Final = 0.5
"""Seconds: what has passed is taken to have needed so long at least, at the first refusal."""

_GROWTH: Final = 0.05
"""The rate has grown by twice this part when a step's requests have passed, then ever faster."""

_STEP_LEAST: Final = 2
_STEP_MOST: Final = 100
"""A step has as many requests as prove the rate, between these."""

_STEP_SECONDS: Final = 15.0
"""The longest step, in seconds. A slow rate may be far too low, so it must grow soon."""

_STEP_AFTER_WINDOW: Final = 4
"""The step after a long dry spell: how much a window holds is to be found out."""

_FREE_STEPS: Final = 8
_FREE_LEAST: Final = 200
"""Steps (26 times the rate) and requests without a refusal after which there is no limit."""

_DECREASE: Final = 0.1
"""A refusal leaves this part of the rate at least, whatever has passed."""

_SLIGHTLY: Final = 1.5
_ALMOST: Final = 0.7
"""A refusal at a pace below `_SLIGHTLY` times the rate: the server had this part (`_ALMOST`) of a
request left, and the next one is sent when the rest is there."""

_LATE: Final = 0.01
"""Seconds by which timers are late: tokens of that time are no burst."""


class LearnedRate:
    """Says when the next request may go, so that few are refused.

    Attributes:
        active: whether a rate is learned: whether anything was refused.
        rate: requests a second, on average; infinity if not active.
    """

    __slots__ = (
        "_at", "_burst", "_credit", "_grown", "_last", "_level", "_of_burst", "_released",
        "_spells", "_starting", "_step", "_throughput", "active", "rate",
    )  # fmt: skip

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.active = False
        self.rate = inf
        self._throughput = Throughput()
        self._spells = DrySpells(0.0, 0)
        self._last = 0  # answers to permits up to this number belong to the last refusal
        self._starting = 0.0  # seconds of the first measurement, until it is complete
        # A token bucket; tokens beyond one are a burst.
        self._level, self._at, self._burst = 0.0, 0.0, 1.0
        self._grown, self._step = 0, _STEP_LEAST
        self._of_burst = 0  # permits up to this number were of a burst, and prove no rate
        # What a long dry spell has earned: not yet released; released and not yet passed.
        self._credit = self._released = 0.0

    # -- granting ---------------------------------------------------------------

    @property
    def pace(self) -> float:
        """Requests a second that may go now: the rate, with its growth."""
        return self._pace(self._grown)

    def _pace(self, grown: float) -> float:
        steps = grown / self._step
        return self.rate * (1 + _GROWTH * steps * (1 + steps * steps))

    def next_at(self, now: float) -> float:
        """When the next request may go, monotonic."""
        if self._spells.probing:
            return self._spells.probe_at
        self._accrue(now)
        return now if self._level >= 1 else now + (1 - self._level) / self.pace

    def earliest(self, position: int, now: float) -> float:
        """The soonest that the request at `position` (from 1) may go, if all before it pass."""
        ahead = position - max(self._level, 1.0) - self._credit
        return max(self.next_at(now), now) + max(ahead, 0.0) / self._pace(self._grown + position)

    def take(self, number: int, now: float) -> None:
        """The permit `number` was granted."""
        self._accrue(now)
        self._level -= 1
        if self._level >= 1 + self.pace * _LATE:
            self._of_burst = number
        if self._spells.probing:
            self._spells.probe(now, self._throughput.passed, self.rate)

    def _accrue(self, now: float) -> None:
        """Add the tokens of the time since the last look."""
        if now <= self._at:
            return
        level = self._level + (now - self._at) * self.pace
        self._at = now
        if self._spells.dry:
            level = min(level, 1.0)
        elif level > self._burst + max(self._burst, 1.0):
            self._throughput.forget()  # fewer go than may: the server saves up
        self._level = min(level, self._burst)

    # -- answers ----------------------------------------------------------------

    def passed(self, answer: SettledPermit) -> None:
        """A request was not refused."""
        number, now = answer.number, answer.now
        self._throughput.note(number, now, self._burst)
        if number <= self._last:
            if self._starting:  # it was in flight at the first refusal
                self.rate += 1 / self._starting
                self._burst += 1
            return
        self._starting = 0.0
        if self._spells.dry:
            self._end_spell(now)
        if self._credit > 0:
            released = min(self._credit, 2.0)
            self._credit -= released
            self._level += released
            self._released += released
        if self._released >= 1:
            self._released -= 1
        elif number > self._of_burst:
            self._grown += 1
            if self._grown >= max(_FREE_STEPS * self._step, _FREE_LEAST):
                self._forget()

    def _end_spell(self, now: float) -> None:
        window = self._spells.end(now, self._throughput.passed, self.rate)
        if window is not None:
            self.rate, self._step = window.rate, _STEP_AFTER_WINDOW
            self._credit = min(self._burst, window.rate * window.lasted)
            self._throughput.forget()

    def refused(self, answer: SettledPermit, recent: tuple[float, int], minute: float) -> None:
        """A request was refused without limit headers.

        Args:
            answer: the refusal.
            recent: what has passed of late, if this is the first refusal: since when, monotonic,
                and how many.
            minute: monotonic time of the server's next whole minute.
        """
        if answer.number <= self._last:
            return
        self._last, now = answer.granted, answer.now
        level = 0.0
        if not self.active:
            self._start(now, *recent)
        else:
            self._starting = 0.0
            self._accrue(now)
            if not self._spells.dry:
                if self.pace < _SLIGHTLY * self.rate:
                    level = _ALMOST
                self._measure(answer)
        if not self._spells.dry:
            self._throughput.refused(answer.granted, now)
            self._grown, self._credit, self._released = 0, 0.0, 0.0
        self._level, self._at = min(level, self._level) if self._spells.dry else level, now
        self._spells.refused(now, minute, self._throughput.passed, self.rate, self._burst)

    def interrupted(self) -> None:
        """The service is out, which tells nothing of its limit."""
        self._spells.interrupt()

    def _start(self, now: float, since: float, passed: int) -> None:
        """Start at what has passed of late."""
        self.active = True
        self._starting = max(now - since, _START)
        self.rate = max(passed, 1) / self._starting
        self._burst = max(float(passed), 1.0)
        self._step = min(max(passed // 2, _STEP_LEAST), _STEP_MOST)
        self._spells = DrySpells(since, -passed)

    def _measure(self, answer: SettledPermit) -> None:
        """Set the rate between what is proved and what was refused."""
        proof = self._throughput.proof(answer.now, answer.way, self._burst)
        if proof is None:
            return
        pace, least = self.pace, _DECREASE * self.pace
        if proof.rate < least:
            self.rate, evidence = least, proof.passed / 2
        else:
            self.rate, evidence = min(sqrt(proof.rate * pace), pace), proof.passed
        most = min(_STEP_SECONDS * self.rate, _STEP_MOST)
        self._step = int(max(min(evidence, most), _STEP_LEAST))
