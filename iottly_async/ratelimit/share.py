"""How much of a fixed window to use here, if other clients use the same key. Pure.

Each client sees only its own answers, so several that take all that remains are refused when the
window runs out: each by as many requests as it has in flight. But an answer also tells how many
requests the others made: what the server counted, less what was answered here. From that a client
takes its share, and a window has four parts:

1. *Race*, until about half of the quota is used: one request at first, and then as many in flight
   as were answered in this window, and one more. What each gets depends on its own demand and
   speed, so the shares of clients with the same demand become equal in time.
2. *Budget*: the rest of its share of the window, which is what it used in the last windows, drawn
   towards what it got in the race.
3. *Rest*: what remains is the others'.
4. *Look*: others may not have used theirs, and only a request can tell. If it passes, one request
   more may be in flight with each that passes, as long as the others stay slow. The client whose
   request was the first of the window always looks. Another one looks if it has passed enough
   requests since its last vain look, so looks add few refusals, however many clients there are.

A client that is alone never comes here: it uses the whole quota.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

__all__ = ["QuotaShare"]

_RACE: Final = 0.5
"""The race ends when this part of the quota will be left."""

_FADING: Final = 0.5
"""A window counts so much as the one after it."""

_RACED: Final = 0.25
"""The race counts so much for the share, and the windows before it the rest."""

_SURE: Final = 0.5
"""In the first window the share is a guess, and this part of it is used."""

_LOOKS: Final = 0.03
_LOOKS_MOST: Final = 2.0
"""Each request that passes pays for so many vain looks; so many are saved up at most."""

_UNPAID: Final = 3
"""The first requests of a window pay for no look: clients with few requests are many."""

_WAIT: Final = 4
"""Round trips until a look, at least. Others that use their budget need about as long as here."""

_AHEAD: Final = 4
"""What others take in so many round trips at their pace is left to them, after a look."""


class QuotaShare:
    """The share of one client in the window under way.

    Args:
        random: draws a number in [0, 1).

    Attributes:
        contended: whether others have used the key in this window or in the one before.
    """

    __slots__ = (
        "_answered", "_before", "_before_all", "_begun", "_budget", "_draw", "_ends", "_first",
        "_from", "_least", "_limit", "_look_at", "_looks", "_others", "_passed", "_racing",
        "_random", "_rest_at", "_rest_others", "_way", "contended",
    )  # fmt: skip

    def __init__(self, random: Callable[[], float]) -> None:
        self.contended = False
        self._random = random
        # Requests of the windows before, fading: those answered here, and all.
        self._before = self._before_all = 0.0
        self._begun = self._ends = 0.0
        self._limit = self._from = self._least = 0
        self._answered = self._others = 0
        self._first = False
        self._way = 0.0
        self._racing, self._budget, self._draw = True, 0, 0.0
        self._looks = 0.0
        # When the rest began, how many the others had made then, and what has passed since.
        self._rest_at, self._rest_others, self._passed = inf, 0, 0
        self._look_at = inf

    def begin(self, limit: int, now: float, ends: float, remaining: int) -> None:
        """A window has begun, as an answer shows; `observe` follows with the same answer.

        Args:
            limit: requests a window.
            now: monotonic.
            ends: monotonic time at which the window ends.
            remaining: requests left, as the answer says.
        """
        if self.contended:
            self._before = _FADING * self._before + self._answered
            self._before_all = _FADING * self._before_all + self._limit
        else:
            self._before = self._before_all = 0.0
        self.contended = self._before_all > 0
        self._limit = self._from = self._least = limit
        if not self.contended:
            # What was used before the first request here may be of clients that have ended.
            self._from = self._least = min(limit, remaining + 1)
        self._begun, self._ends = now, ends
        self._answered = 0
        self._first = remaining >= limit - 1
        self._racing, self._draw = True, self._random()
        self._rest_at = self._look_at = inf

    def observe(
        self, remaining: int, in_flight: int, now: float, way: float, *, refused: bool
    ) -> None:
        """Take in an answer of this window.

        Args:
            remaining: requests left, as the answer says.
            in_flight: requests in flight from here now.
            now: monotonic.
            way: seconds between the request and its answer, at most.
            refused: whether it was refused; then it was not counted.
        """
        if not refused:
            self._answered += 1
        if remaining < self._least:
            self._least = remaining
        # Of these, as many as are in flight may be our own.
        others = self._from - self._least - self._answered
        if others > in_flight:
            self.contended = True
        if not self.contended:
            return
        self._others = others
        self._way = max(0.9 * self._way, way)
        if not refused and self._answered > _UNPAID:
            self._looks = min(self._looks + _LOOKS, _LOOKS_MOST)
        if self._rest_at == inf:
            return
        if not refused:
            self._passed += 1
            if self._passed == 1:
                self._rest_at, self._rest_others = now, others
        elif not self._passed and now >= self._look_at:
            self._looks -= 1

    def lost(self) -> None:
        """A request ended without limit headers; the server may have counted it as ours."""
        self._answered += 1

    def most(self, left: float, in_flight: int, now: float) -> float:
        """How many requests may be in flight from here, if others use the key.

        Args:
            left: requests that the server has left.
            in_flight: requests in flight from here now.
            now: monotonic.
        """
        if left < 1:
            return left
        most = float(self._answered + 1)
        if self._racing and left - most / self._raced < _RACE * self._limit:
            self._racing = False
            self._budget = self._whole_budget(left)
        if not self._racing:
            most = self._budget - self._answered
            if most < 1 and (in_flight == 0 or self._rest_at < inf):
                most = self._after_budget(left, in_flight, now)
        return min(most, left)

    @property
    def _raced(self) -> float:
        """The share that was got in this window so far."""
        return max(self._answered, 1) / max(self._from - self._least, 1)

    def _whole_budget(self, left: float) -> int:
        """Requests of this window in all. Rounded at random: few clients round up at once."""
        raced = min(self._raced, 1.0)
        if not self._before_all:
            return self._answered + int(_SURE * raced * left + self._draw)
        share = _RACED * raced + (1 - _RACED) * self._before / self._before_all
        return int(share * self._limit + self._draw)

    def _after_budget(self, left: float, in_flight: int, now: float) -> float:
        """How many may be in flight in the rest, and after a look."""
        if self._rest_at == inf:
            self._rest(now)
        if not self._passed:
            return 1.0 if now >= self._look_at else 0.0
        others = max(self._others - in_flight - self._rest_others, 0)
        pace = others / max(now - self._rest_at, self._way, 1e-6)
        most = min(self._passed + 1.0, left - _AHEAD * pace * self._way)
        if most < 1 and not in_flight:
            self._rest(now)
        return most

    def _rest(self, now: float) -> None:
        """Begin to rest, and set the time of the next look."""
        self._rest_at, self._rest_others, self._passed = now, self._others, 0
        wait = max(_WAIT * self._way, 0.5 * (now - self._begun), 1e-3)
        if self._first:
            self._look_at = now + wait
        elif self._random() < self._looks:
            # Any of the orders of magnitude from here to the end, so that few look at once.
            self._look_at = now + wait * max((self._ends - now) / wait, 1.0) ** self._random()
        else:
            self._look_at = inf

    def next_at(self, now: float, give_up_at: float) -> float:
        """When to look, if nothing is in flight; infinity if not in this window.

        Args:
            now: monotonic.
            give_up_at: monotonic time at which the first waiter gives up. It looks before that.
        """
        if self._rest_at == inf or self._passed:
            return inf
        return now if give_up_at < min(self._look_at, self._ends) else self._look_at
