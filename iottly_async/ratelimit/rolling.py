"""The server's rolling account, and a configured tier's of our own, pure.

A rolling server gives requests back bit by bit. How, is learnt from what surely has come
back: our own requests are remembered with their times, so an answer that leaves room for
only the last few of them proves that the ones before have left the server's account,
whatever others do on the same key. If they left sooner than any window can let them go,
the server refills steadily, like a token bucket; otherwise they bound the window's length.
"""

from __future__ import annotations

from collections import deque
from math import inf

from .account import Account, SlidingLog, SteadyRefill
from .observation import SettledPermit
from .window import ROUNDING

__all__ = ["History", "Metered", "Rolling"]

_GRAIN = 512
"""The history keeps so many marks a window."""

_GRAIN_LEAST = 0.002

_SCOUT_PART = 8
"""A rolling server is asked once, after this part of its window, whether it refills steadily."""

_SCOUT_SOONEST = 0.05

_SURELY_SOONER = 0.9
"""Back within this part of the shortest window, and it is no window that lets them go."""

_KNOWN = 0.005
_KNOWN_SECONDS = 0.05
"""A window known to within this part of itself, or these seconds, is known."""

_FASTER = 1.03
"""By so much a refill that surely gave more than expected is taken to be quicker."""

_LEARNS_WITHIN = 3
"""After so many refusals nothing more is learned: others on the key blur what comes back."""


class History:
    """How many tickets had ended at which time, over the last window."""

    __slots__ = ("_grain", "_keep", "_marks", "next_mark")

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._grain = _GRAIN_LEAST
        self._keep = 1.0
        self.next_mark = -inf
        """Monotonic time from which another mark is due."""

    def keep(self, seconds: float) -> None:
        """Look back so far."""
        self._keep = seconds
        self._grain = max(seconds / _GRAIN, _GRAIN_LEAST)

    def mark(self, now: float, ended: int) -> None:
        """`ended` tickets were over before the one that ended at `now`; noted if one is due."""
        if now < self.next_mark:
            return
        marks = self._marks
        marks.append((now, ended))
        self.next_mark = now + self._grain
        while marks[0][0] < now - 2 * self._keep:
            marks.popleft()

    def entries(self, ended: int, now: float) -> list[tuple[float, int]]:
        """The requests that ended within the last window, as entries of a sliding log."""
        entries = []
        after, until = ended, now
        for time, before in reversed(self._marks):
            if until <= now - self._keep:
                break
            if after > before:
                entries.append((until, after - before))
            after, until = before, time + self._grain
        return entries[::-1]

    def age(self, count: int, ended: int, now: float) -> float:
        """How long ago the last ticket ended that is older than the last `count` ones.

        At most so long; inf where nothing is known of it.
        """
        for time, before in reversed(self._marks):
            if ended - before > count:
                return now - time
        return inf


class Metered:
    """An account kept by ourselves: a configured tier, where no header comes."""

    __slots__ = ("account",)

    def __init__(self, account: Account) -> None:
        self.account = account

    def left(self, now: float) -> float:
        """The account's level."""
        return self.account.level(now)

    def suspected(self, granted: int, now: float) -> None:
        """Charge it."""
        self.account.charge(now)

    def refused(self, in_flight: int, now: float) -> None:
        """Nothing is left."""
        self.account.lower(0, now)

    def next_at(self, missing: float, now: float) -> float:
        """As the account says."""
        return self.account.next_at(missing, now)

    def earliest(self, missing: float, now: float) -> float:
        """The soonest that `missing` more can have come back, over several windows if need be."""
        account = self.account
        if isinstance(account, SlidingLog):
            rounds, rest = divmod(missing - 1, account.limit)
            at = account.next_at(rest + 1, now)
            return (now if at == inf else at) + rounds * account.window
        return account.next_at(missing, now)

    @property
    def spacing(self) -> float:
        """Seconds between two turns that are spread evenly."""
        account = self.account
        if isinstance(account, SteadyRefill):
            return 1.0 / account.rate
        if isinstance(account, SlidingLog):
            return account.window / account.limit
        return 0.0


class Rolling(Metered):
    """The server's rolling account: a sliding log until it shows that it refills steadily.

    Args:
        limit: requests a window.
        least: the shortest that the window can be, in seconds.
        longest: the longest that it can be.
        history: of all tickets, also those to come.
        ended: how many tickets are over.
        now: monotonic.
    """

    __slots__ = (
        "_at_least", "_at_most", "_confirmed", "_explained", "_history", "_longest", "_refusals",
        "_scout_at", "_settled", "_slack", "_unexplained", "_way",
    )  # fmt: skip

    def __init__(
        self,
        limit: int,
        least: float,
        longest: float,
        history: History,
        ended: int,
        now: float,
    ) -> None:
        super().__init__(SlidingLog(limit, longest, history.entries(ended, now)))
        self._history = history
        self._at_least = least
        self._at_most = inf
        self._longest = longest
        self._refusals = 0
        self._explained = 0
        self._slack = 0.0
        self._confirmed = 0.0
        self._way = 0.0
        self._unexplained = 0.0
        self._settled = False
        self._scout_at: float | None = None

    def left(self, now: float) -> float:
        """The account's level, less what the last answer left unexplained.

        Of what a sliding log gives back since the last answer only one may go at first:
        its answer shows whether the rest is there. No herd runs on a guess.
        """
        level = self.account.level(now) - self._unexplained
        if isinstance(self.account, SlidingLog):
            return min(level, self._confirmed + 1)
        return level

    def told(self, remaining: int, answer: SettledPermit) -> None:
        """Take in that `remaining` were left when `answer` was made.

        What is surely left is that, less all that may have been counted since and has
        ended. What the account has beyond it is either in flight, which the next answers
        will show, or spent by others.
        """
        account, now = self.account, answer.now
        surely = remaining - answer.overlap
        account.charge(now)
        self._way = max(self._way, answer.way)
        if isinstance(account, SlidingLog) and self._refusals < _LEARNS_WITHIN:
            oldest = account.oldest()
            if surely > account.level(now):
                age = self._history.age(int(account.limit - surely), answer.ended, now)
                # It was counted before it ended, by no more than its way there and back.
                self._came_back(age + self._way, now)
            elif answer.probe and oldest is not None:
                self._at_least = max(self._at_least, min(answer.sent - oldest, account.window))
        elif isinstance(account, SteadyRefill) and surely > account.level(now) + 1:
            # More came back than the rate gives and rounding explains: it began too low.
            quickest = account.limit / max(self._at_least, ROUNDING)
            account.rate = max(account.rate, min(account.rate * _FASTER, quickest))
        self._settled = self._settled or answer.probe
        account = self.account
        account.lower(remaining + answer.in_flight, now)
        account.lift(surely, now)
        # What is in flight now explains no more than itself, and this one is not any more.
        self._unexplained = max(self._unexplained - 1, 0.0)
        excess = max(account.level(now) - remaining, 0.0)
        if answer.number > self._explained or excess > self._unexplained:
            self._explained, self._unexplained = answer.number, excess
        self._confirmed = account.level(now) - self._unexplained

    def _came_back(self, age: float, now: float) -> None:
        """Requests of this age have left the server's account."""
        if age < _SURELY_SOONER * self._at_least:
            level = self.account.level(now)
            rate = self.account.limit / self._longest
            self.account = SteadyRefill(self.account.limit, rate, level=level, now=now)
            self._settled = True
        elif isinstance(self.account, SlidingLog) and age < self.account.window:
            self._at_most = self.account.window = max(age, self._at_least)

    def refused(self, in_flight: int, now: float) -> None:
        """Nothing is left, and what was learned is in doubt."""
        self._refusals += 1
        self._at_most = inf
        self._unexplained = 0.0
        account = self.account
        account.lower(in_flight, now)
        self._confirmed = account.level(now)
        if isinstance(account, SlidingLog):
            self._slack = ROUNDING  # Reset may be rounded down, or speak of an older request
            account.window = self._longest + self._slack
        elif isinstance(account, SteadyRefill) and self._refusals < _LEARNS_WITHIN:
            account.rate = account.limit / self._longest
        else:
            self.account = SlidingLog(account.limit, self._longest, [(now, account.limit)])

    def moved(self, limit: int, least: float, longest: float) -> None:
        """Take over what a newer Reset says of the limit and the window's length."""
        self._longest = longest
        self._at_least = max(self._at_least, least)
        self._at_most = max(self._at_most, self._at_least)
        account = self.account
        account.limit = limit
        if isinstance(account, SteadyRefill):
            account.rate = max(account.rate, limit / longest)
        elif isinstance(account, SlidingLog):
            account.window = min(self._at_most, longest + self._slack)

    @property
    def kept(self) -> int:
        """One request, as long as it is worth while to look what comes back when."""
        account = self.account
        if not isinstance(account, SlidingLog) or self._refusals >= _LEARNS_WITHIN:
            return 0
        blur = account.window - self._at_least
        return int(not self._settled or blur > max(_KNOWN * account.window, _KNOWN_SECONDS))

    def scout_at(self, now: float) -> float | None:
        """When the one that is kept may go to look; None where that is of no use."""
        account = self.account
        if not self.kept or not isinstance(account, SlidingLog):
            return None
        if not self._settled:
            if self._scout_at is None:
                self._scout_at = now + max(self._at_least / _SCOUT_PART, _SCOUT_SOONEST)
            return self._scout_at
        oldest = account.oldest()
        return None if oldest is None else oldest + (self._at_least + account.window) / 2
