"""The quota's arithmetic: who may go, what an answer changes, when the next turn is. Pure.

Tokens are what the server says remain, less what is in flight. Tickets are numbered in the
order of granting; with `ended` of them over and `left` by the last word, every ticket up
to number ``ended + left`` may go: `allowed`. An answer in order raises `ended` by one and
lowers `left` by one, so `allowed` stands still, and granting is one comparison.

Time is passed in: `now` monotonic, `wall` the local wall clock. Nothing waits here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from .cooldown import Cooldown
from .headers import Observation, retry_after
from .observation import SettledPermit
from .quota_state import QuotaSnapshot, QuotaState
from .rolling import Rolling
from .supply import FixedWindow, Unlimited

__all__ = ["Bucket", "Permit"]

_BURST_CREDIT = 3
"""Turns that `spread` lets pile up, so that a late timer loses none."""


_SOON = 0.001
"""Seconds: what rounding of a float makes of "now" is a little later."""


class Permit:
    """The right to send one request; it is given back by one of the limiter's end calls."""

    __slots__ = ("ended", "number", "sent")

    number: int
    """Its place in the order of granting; 0 once it is over."""
    sent: float
    """Monotonic; the request was sent then or later."""
    ended: int
    """How many tickets were over when it was granted."""


class Bucket:
    """The quota of one key.

    Args:
        spread: False sends as soon as the quota allows, True evenly over the window.
        reserve: requests of each window that are left to others; below 1 a share of the limit.
        tier: requests a minute where no header comes; 0 for no limit; None for not known.
        random: numbers in [0, 1), for jitter.
    """

    __slots__ = (
        "_next_at", "_probe", "_probe_ticket", "_spread", "allowed", "ended", "gate",
        "granted", "seen", "view",
    )  # fmt: skip

    def __init__(
        self, *, spread: bool, reserve: float, tier: int | None, random: Callable[[], float]
    ) -> None:
        self.granted = 0
        self.ended = 0
        self.allowed = 0
        """Tickets up to this number may be granted without looking at the time."""
        self.seen = -inf
        """Monotonic time of the last answer: whatever is granted now is sent later."""
        self.gate = Cooldown(random, shut=tier != 0)
        self.view = QuotaState(reserve=reserve, tier=tier)
        self._spread = spread
        self._probe = 0
        self._probe_ticket: Permit | None = None
        self._next_at = -inf
        self._publish()

    # -- granting ---------------------------------------------------------------

    def take_at_once(self) -> Permit | None:
        """A ticket, where one may go whatever the time is."""
        return self._grant(self.seen) if self.granted < self.allowed else None

    def take(self, now: float, wall: float, waiting: int, patience: float = inf) -> Permit | None:
        """A ticket, if one may go now.

        Args:
            now: monotonic.
            wall: the local wall clock.
            waiting: how many want one, at least 1.
            patience: monotonic time at which the first of them gives up.
        """
        turn, probe = self._turn(now, wall, waiting, patience)
        if now < turn:
            return None
        if self._spread and not probe:
            gap = self.view.gap(self._free(now), now, wall)
            due = now if self._next_at == -inf else self._next_at
            self._next_at = max(due, now - _BURST_CREDIT * gap) + gap
        return self._grant(now, probe=probe)

    def _turn(self, now: float, wall: float, waiting: int, patience: float) -> tuple[float, bool]:
        """When the next one may go, as things are, and whether it goes to look."""
        view, gate = self.view, self.gate
        if gate.shut:
            return (inf if self._probe else gate.until), True
        free = self._free(now)
        if free < 1:
            back = max(view.supply.next_at(1 - free, now), now + _SOON)
            # In a rolling account whatever is in flight tells as much as a probe would.
            told = self.granted > self.ended and isinstance(view.supply, Rolling)
            looks = inf if self._probe or told else view.probe_at(now, wall)
            return min(back, looks), looks <= back
        if free <= view.kept and free < waiting:
            # As more wait than can go, somebody has to wait for the next window in any
            # case: the last few go when they tell most of its beginning, unless somebody
            # would give up before.
            scout_at = view.scout_at(free, now, wall)
            if scout_at is not None and scout_at <= patience:
                looks = inf if self._probe else scout_at
                back = view.supply.next_at(view.kept + 1 - free, now)
                return min(back, looks), looks <= back
        return (self._next_at if self._spread else now), False

    def _grant(self, sent: float, *, probe: bool = False) -> Permit:
        ticket = Permit()
        self.granted = ticket.number = self.granted + 1
        ticket.sent = sent
        ticket.ended = self.ended
        if probe:
            self._probe, self._probe_ticket = ticket.number, ticket
        return ticket

    def _free(self, now: float) -> float:
        view = self.view
        return view.supply.left(now) - view.reserve - (self.granted - self.ended)

    # -- ending -----------------------------------------------------------------

    def answered(
        self, ticket: Permit, status: int, headers: Mapping[str, str], now: float, wall: float
    ) -> None:
        """Learn from an answer."""
        number = ticket.number
        ticket.number = 0
        self.seen = now
        overlap = self.ended - ticket.ended
        view = self.view
        view.history.mark(now, self.ended)
        self.ended += 1
        probe = number == self._probe
        if probe:
            self._probe = 0
        answer = SettledPermit(
            number=number,
            sent=ticket.sent,
            now=now,
            wall=wall,
            status=status,
            granted=self.granted,
            ended=self.ended,
            overlap=overlap,
            probe=probe,
        )
        notice = view.read(status, headers, ticket.sent, now)
        self._study(notice, answer, headers)
        self._publish()

    def _study(
        self, notice: Observation | None, answer: SettledPermit, headers: Mapping[str, str]
    ) -> None:
        """The answers that change more than a count: windows, probes, refusals, no notice."""
        notice = self.view.learn(notice, answer)
        if answer.status == 429:
            self._refused(notice, answer, headers)
        elif notice is not None or answer.status < 500:
            self.gate.answered(answer.number, answer.now)

    def _refused(
        self, notice: Observation | None, answer: SettledPermit, headers: Mapping[str, str]
    ) -> None:
        view, now, wall = self.view, answer.now, answer.wall
        wait = retry_after(headers, view.clock.now(now, wall))
        if wait is None and notice is not None and notice.remaining == 0:
            ends_in = view.ends(now, wall) - now
            # A rolling account's Reset is when it is full again: long after it is not empty.
            if ends_in > 0 and not isinstance(view.supply, Rolling):
                wait = ends_in
        if self.gate.refused(answer.number, self.granted, now, wait):
            view.supply.refused(self.granted - self.ended, now)

    def lost(self, ticket: Permit, now: float) -> None:
        """It was sent perhaps, and the server may have counted it."""
        self.unused(ticket)
        self.view.supply.suspected(self.granted, now)
        self._publish()

    def unused(self, ticket: Permit) -> None:
        """It never left, so its turn is free again."""
        if ticket.number == self._probe:
            self._probe = 0
        ticket.number = 0
        self.ended += 1
        if self.allowed:
            self.allowed += 1

    def lose_probe(self, now: float) -> None:
        """Whoever holds the probe is gone for ever, with its event loop."""
        if self._probe and self._probe_ticket is not None:
            self._probe_ticket.number = 0
            self._probe = 0
            self.ended += 1
            self.view.supply.suspected(self.granted, now)
            self._publish()

    def _publish(self) -> None:
        """Set up to where tickets may be granted without looking at the time."""
        view = self.view
        supply = view.supply
        self.allowed = 0
        if self._spread or self.gate.shut:
            return
        if isinstance(supply, FixedWindow):
            self.allowed = self.ended + supply.left(0.0) - view.reserve - view.kept
        elif isinstance(supply, Unlimited):
            self.allowed = self.ended + supply.left(0.0)

    # -- looking ahead ----------------------------------------------------------

    def next_turn(
        self, now: float, wall: float, waiting: int, patience: float = inf
    ) -> float | None:
        """When to look again whether one may go; None: only the end of a ticket can tell."""
        turn = self._turn(now, wall, waiting, patience)[0]
        return None if turn == inf else max(turn, now)

    def earliest(self, position: int, now: float, wall: float) -> float:
        """The soonest that the `position`-th in line can have its turn, if all goes well."""
        if self.gate.shut:
            return max(self.gate.until, now)
        free = max(self._free(now), 0.0)
        if position > free:
            return self.view.earliest(position - free, now, wall)
        if not self._spread:
            return now
        return max(self._next_at, now) + (position - 1) * self.view.gap(free, now, wall)

    def outlook(self, now: float, wall: float) -> QuotaSnapshot:
        """The quota as known now."""
        return self.view.outlook(self.granted - self.ended, now, wall)
