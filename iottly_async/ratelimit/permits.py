"""Grants permits: whether a request may go now, and when the next one may. Pure.

What may still be sent is what the server has left, less the reserve and what is in flight.
Time is passed in: `now` is monotonic, `wall` the local wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from .adaptive import LearnedRate
from .alternation import Alternation
from .cooldown import Cooldown
from .observe import Reading, SettledPermit
from .rolling import Rolling
from .state import QuotaSnapshot, QuotaState

__all__ = ["Permit", "PermitIssuer"]

_BURST_CREDIT: Final = 3
"""Permits that `spread` lets pile up, so that a late timer loses none."""

_MINUTE: Final = 60.0
"""Seconds of the documented window."""

_SOON: Final = 0.001
"""Seconds: rounding of a float can make "now" a little later."""


class Permit:
    """The right to send one request, to be given to one of the limiter's end methods.

    Attributes:
        number: its place in the order of granting; 0 once it is over.
        sent: monotonic, when it was granted: the request is sent then or later.
        ended: how many permits were over then.
    """

    __slots__ = ("ended", "number", "sent")

    number: int
    sent: float
    ended: int


class PermitIssuer:
    """Grants the permits of one key.

    Args:
        spread: False sends as soon as the quota allows, True evenly over the window.
        reserve: requests of each window that are left to others; below 1 a share of the limit.
        tier: requests a minute on a server without limit headers; 0 for no limit; None if
            not known.
        random: draws a number in [0, 1), for jitter.

    Attributes:
        granted: the highest permit granted so far.
        ended: how many permits are over.
        cooldown: the pause after a 429.
        state: the quota as known.
        learned: the rate that is learned from refusals without limit headers.
    """

    __slots__ = (
        "_alternation", "_next_at", "_passed_at", "_probe", "_spread", "cooldown", "ended",
        "granted", "learned", "state",
    )  # fmt: skip

    def __init__(
        self, *, spread: bool, reserve: float, tier: int | None, random: Callable[[], float]
    ) -> None:
        self.granted = 0
        self.ended = 0
        self.cooldown = Cooldown(random, active=tier != 0)
        self.state = QuotaState(reserve=reserve, tier=tier, random=random)
        self.learned = LearnedRate()
        self._alternation = Alternation()
        self._passed_at = -inf
        self._spread = spread
        self._probe: Permit | None = None
        self._next_at = -inf

    @property
    def in_flight(self) -> int:
        """Permits that were granted and are not over."""
        return self.granted - self.ended

    def _free(self, now: float) -> float:
        """How many more permits may be granted."""
        state = self.state
        return state.supply.left(now) - state.reserve - (self.granted - self.ended)

    # -- granting ---------------------------------------------------------------

    def take(self, now: float, wall: float, waiting: int, give_up_at: float = inf) -> Permit | None:
        """A permit, or None if none may be granted now.

        Args:
            now: monotonic.
            wall: the local wall clock.
            waiting: how many want a permit, at least 1.
            give_up_at: monotonic time at which the first of them gives up.
        """
        at, probe = self._next(now, wall, waiting, give_up_at)
        learned = self.learned
        if now < at or (learned.active and now < learned.next_at(now)):
            return None
        if self._spread and not probe:
            gap = self.state.gap(self._free(now), now, wall)
            due = now if self._next_at == -inf else self._next_at
            self._next_at = max(due, now - _BURST_CREDIT * gap) + gap
        permit = Permit()
        self.granted = permit.number = self.granted + 1
        permit.sent = now
        permit.ended = self.ended
        if probe:
            self._probe = permit
        if learned.active:
            learned.take(permit.number, now)
        return permit

    def _next(self, now: float, wall: float, waiting: int, give_up_at: float) -> tuple[float, bool]:
        """When the quota has the next permit, and whether its request is a probe."""
        state, cooldown = self.state, self.cooldown
        if cooldown.active:
            return (cooldown.until if self._probe is None else inf), True
        free = self._free(now)
        if state.share.contended and not self._spread and free >= 1:
            # Others use the key as well: part of what is free is theirs.
            in_flight = self.granted - self.ended
            shared = state.share.most(free + in_flight, in_flight, now) - in_flight
            if shared < 1:
                if in_flight or self._probe is not None:
                    return inf, False
                look_at = state.share.next_at(now, give_up_at)
                return min(look_at, max(state.probe_at(now, wall), now)), look_at == inf
        if free < 1:
            back = max(state.supply.next_at(1 - free, now), now + _SOON)
            # With a rolling quota any request in flight tells as much as a probe would.
            awaited = self.in_flight > 0 and isinstance(state.supply, Rolling)
            probe_at = inf if awaited or self._probe is not None else state.probe_at(now, wall)
            return min(back, probe_at), probe_at <= back
        if isinstance(state.supply, Rolling) and free <= state.kept and free < waiting:
            # More requests wait than can go, so some have to wait in any case. The last one
            # goes when its answer tells most, unless a waiter would give up before.
            test_at = state.supply.test_at
            if test_at <= give_up_at:
                return (test_at if self._probe is None else inf), True
        return (self._next_at if self._spread else now), False

    # -- ending -----------------------------------------------------------------

    def answered(
        self, permit: Permit, status: int, headers: Mapping[str, str], now: float, wall: float
    ) -> None:
        """Learn from an answer."""
        probe = permit is self._probe
        # By position, here and below: keywords cost a microsecond for every answer.
        reading = self.state.observer.observe(status, headers, permit.sent, now, wall, probe)
        number, overlap = permit.number, self.ended - permit.ended
        self.unused(permit)
        answer = SettledPermit(
            number, permit.sent, now, wall, status, self.granted, self.ended, overlap, probe
        )
        self.state.learn(reading, answer)
        if status == 429:
            self._refused(reading, answer)
        elif status < 500:
            self._passed_at = now
            if self.cooldown.active:
                self.cooldown.answered(number, now)
            if self._alternation.awaits:
                self._alternation.passed(number, now)
            if self.learned.active:
                self.learned.passed(answer)
        elif reading.remaining is not None:
            self.cooldown.answered(number, now)
        elif status == 503:
            self._unavailable(answer)

    def _unavailable(self, answer: SettledPermit) -> None:
        """A 503 without limit headers: a proxy's refusal, or an outage."""
        if self._alternation.is_refusal(answer, self._passed_at):
            self._learn(answer)
        else:
            self.learned.interrupted()

    def _refused(self, reading: Reading, answer: SettledPermit) -> None:
        state, now, wait = self.state, answer.now, reading.wait
        if wait is None and reading.remaining is None:
            self.cooldown.refusals += 1
            self._learn(answer)
            return
        if wait is None and reading.remaining == 0:
            ends_in = state.observer.ends(now, answer.wall) - now
            # A rolling quota's Reset is when it is full again, long after it is not empty.
            if ends_in > 0 and not isinstance(state.supply, Rolling):
                wait = ends_in
        if self.cooldown.refused(answer.number, self.granted, now, wait):
            state.supply.refused(self.in_flight, now)

    def _learn(self, answer: SettledPermit) -> None:
        """Learn the rate from a refusal that tells nothing of the limit."""
        now, state = answer.now, self.state
        server_now = state.observer.clock.now(now, answer.wall)
        minute = now + (-server_now % _MINUTE or _MINUTE)
        self.learned.refused(answer, state.recent(answer), minute)

    def lost(self, permit: Permit, now: float) -> None:
        """The request may have been sent, and the server may have counted it."""
        self.unused(permit)
        self.state.lost(self.granted, now)

    def unused(self, permit: Permit) -> None:
        """The request was not sent, so another may go in its place."""
        if permit is self._probe:
            self._probe = None
        permit.number = 0
        self.ended += 1

    def lose_probe(self, now: float) -> None:
        """The probe's caller is gone for ever, with its event loop."""
        if self._probe is not None:
            self.lost(self._probe, now)

    # -- looking ahead ----------------------------------------------------------

    def next_at(
        self, now: float, wall: float, waiting: int, give_up_at: float = inf
    ) -> float | None:
        """When to try again to grant a permit; None if only the end of a permit can tell."""
        at = self._next(now, wall, waiting, give_up_at)[0]
        if self.learned.active:
            at = max(at, self.learned.next_at(now))
        return None if at == inf else max(at, now)

    def earliest(self, position: int, now: float, wall: float) -> float:
        """The soonest that the waiter at `position` (from 1) can have its permit."""
        at = self._earliest_of_quota(position, now, wall)
        if self.learned.active:
            at = max(at, self.learned.earliest(position, now))
        return at

    def _earliest_of_quota(self, position: int, now: float, wall: float) -> float:
        """The same, as far as limit headers and a configured tier tell."""
        if self.cooldown.active:
            return max(self.cooldown.until, now)
        free = max(self._free(now), 0.0)
        if position > free:
            return self.state.earliest(position - free, now, wall)
        if not self._spread:
            return now
        return max(self._next_at, now) + (position - 1) * self.state.gap(free, now, wall)

    def snapshot(self, now: float, wall: float) -> QuotaSnapshot:
        """The quota as known now."""
        known = self.state.snapshot(self.in_flight, now, wall)
        if not self.learned.active:
            return known
        source = "learned" if known.source == "unknown" else known.source
        return known._replace(rate=self.learned.rate, source=source)
