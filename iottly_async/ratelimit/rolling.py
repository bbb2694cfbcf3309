"""Quotas that come back bit by bit: a sliding log, a token bucket, and which one it is. Pure.

A sliding log gives each request back one window after it was counted. A token bucket refills
at a steady rate. The two look alike from outside until something comes back: requests that
are back before any window could have let them go show a token bucket.

An account's level is what the server surely has left, not counting requests in flight. A
request is charged when it has ended, which is later than the server charged it, so the level
is never above the truth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final, Protocol

from .observe import SettledPermit
from .window import ROUNDING

__all__ = ["Account", "History", "Metered", "Rolling", "SlidingLog", "TokenBucket"]

_ENTRIES: Final = 512
"""A log and the history keep this many entries a window; closer ones share an entry."""

_ENTRY_LEAST: Final = 0.002
"""Seconds between two entries of the history, at least."""

_KEPT_AT_FIRST: Final = 60.0
"""Seconds that the history goes back as long as no window is known: the documented window."""

_TEST_PART: Final = 8
"""One request tests for a token bucket after this part of the shortest possible window."""

_SURELY_SOONER: Final = 0.9
"""Requests that are back within this part of the shortest window show a token bucket."""

_REFUSALS: Final = 3
"""After this many refusals, others on the key hide what comes back: count as a sliding log."""


class Account(Protocol):
    """A level that falls with charges and rises with time."""

    limit: int

    def level(self, now: float) -> float:
        """What is left."""

    def charge(self, now: float, count: int = 1) -> None:
        """Take `count` off; the level may fall below 0."""

    def lower(self, level: float, now: float) -> None:
        """Believe no more than `level`: another client spent the difference."""

    def lift(self, level: float, now: float) -> None:
        """Believe at least `level`: the server gave back more than expected."""

    def next_at(self, missing: float, now: float) -> float:
        """When `missing` more will have come back; infinity if nothing is known to come."""


class SlidingLog:
    """Each request comes back `window` seconds after it was charged.

    This is the strictest way of counting: what it admits, a fixed window and a token bucket
    of the same limit admit too.

    Args:
        limit: requests a window.
        window: seconds.
        entries: requests that were made before: their time, and how many.
    """

    __slots__ = ("_entries", "_logged", "limit", "window")

    def __init__(
        self, limit: int, window: float, entries: Iterable[tuple[float, int]] = ()
    ) -> None:
        self.limit = limit
        self.window = window
        self._entries = deque(entries)
        self._logged = sum(count for _, count in self._entries)

    def level(self, now: float) -> float:
        """The limit less what was charged within the window."""
        entries, gone = self._entries, now - self.window
        while entries and entries[0][0] <= gone:
            self._logged -= entries.popleft()[1]
        return self.limit - self._logged

    def charge(self, now: float, count: int = 1) -> None:
        """Log `count` requests; entries that are close together share the later time."""
        self._logged += count
        entries = self._entries
        if entries and now - entries[-1][0] < self.window / _ENTRIES:
            count += entries.pop()[1]
        entries.append((now, count))

    def lower(self, level: float, now: float) -> None:
        """Log what other clients spent, as if it were spent now."""
        unexplained = int(self.level(now) - level)
        if unexplained > 0:
            self.charge(now, unexplained)

    def lift(self, level: float, now: float) -> None:
        """Drop the oldest entries: the server has dropped them."""
        back = int(level - self.level(now))
        while back > 0 and self._entries:
            time, count = self._entries.popleft()
            gone = min(count, back)
            self._logged -= gone
            back -= gone
            if gone < count:
                self._entries.appendleft((time, count - gone))

    def next_at(self, missing: float, now: float) -> float:
        """When the oldest entries, `missing` requests in all, will be dropped."""
        for time, count in self._entries:
            if missing <= 0:
                break
            missing -= count
            if missing <= 0:
                return time + self.window
        return now if missing <= 0 else inf

    def oldest(self) -> float | None:
        """When the request that comes back next was charged; None if the log is empty."""
        return self._entries[0][0] if self._entries else None


class TokenBucket:
    """`rate` requests a second come back, up to the limit."""

    __slots__ = ("_at", "_level", "limit", "rate")

    def __init__(self, limit: int, rate: float, *, level: float, now: float) -> None:
        self.limit = limit
        self.rate = rate
        self._level = min(level, float(limit))
        self._at = now

    def level(self, now: float) -> float:
        """The level, with what has come back since the last look."""
        if now > self._at:
            self._level = min(float(self.limit), self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def charge(self, now: float, count: int = 1) -> None:
        """Take `count` off."""
        self._level = self.level(now) - count

    def lower(self, level: float, now: float) -> None:
        """Fall to `level`."""
        self._level = min(self.level(now), level)

    def lift(self, level: float, now: float) -> None:
        """Rise to `level`."""
        self._level = max(self.level(now), level)

    def next_at(self, missing: float, now: float) -> float:
        """When `missing` more have come back at the rate."""
        return now + max(missing, 0.0) / self.rate


class History:
    """How many permits had ended at which time, over the last window.

    Attributes:
        next_at: monotonic time before which a note is not wanted.
    """

    __slots__ = ("_entries", "_keep", "_pause", "next_at")

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self.next_at = -inf
        self.keep(_KEPT_AT_FIRST)

    def keep(self, seconds: float) -> None:
        """Keep entries for `seconds`."""
        self._keep = seconds
        self._pause = max(seconds / _ENTRIES, _ENTRY_LEAST)
        if self._entries:
            self.next_at = min(self.next_at, self._entries[-1][0] + self._pause)

    def note(self, now: float, ended: int) -> None:
        """Note that `ended` permits were over before the one that ended at `now`."""
        if now < self.next_at:
            return
        entries = self._entries
        entries.append((now, ended))
        self.next_at = now + self._pause
        while entries[0][0] < now - 2 * self._keep:
            entries.popleft()

    def log(self, ended: int, now: float) -> list[tuple[float, int]]:
        """The requests that ended within the last window, as entries of a sliding log."""
        log = []
        after, until = ended, now
        for time, before in reversed(self._entries):
            if until <= now - self._keep:
                break
            if after > before:
                log.append((until, after - before))
            after, until = before, time + self._pause
        return log[::-1]

    def recent(self, ended: int, now: float) -> tuple[float, int]:
        """Since when permits ended, within the time that is kept, and how many since then.

        Args:
            ended: how many permits are over.
            now: monotonic.
        """
        for time, before in self._entries:
            if time > now - self._keep:
                return time, ended - before
        return now, 0

    def age(self, count: int, ended: int, now: float) -> float:
        """Seconds since the youngest permit ended that is older than the last `count` ones.

        Args:
            count: of the last permits.
            ended: how many permits are over.
            now: monotonic.

        Returns:
            Seconds, at most; infinity if nothing is known of it.
        """
        for time, before in reversed(self._entries):
            if ended - before > count:
                return now - time
        return inf


class Metered:
    """Counts in an account of our own: a configured tier on a server without headers."""

    __slots__ = ("account",)

    def __init__(self, account: Account) -> None:
        self.account = account

    def left(self, now: float) -> float:
        """The account's level."""
        return self.account.level(now)

    def lost(self, granted: int, now: float) -> None:
        """Charge the account."""
        self.account.charge(now)

    def refused(self, in_flight: int, now: float) -> None:
        """Empty the account."""
        self.account.lower(0, now)

    def next_at(self, missing: float, now: float) -> float:
        """As the account says."""
        return self.account.next_at(missing, now)

    def earliest(self, missing: float, now: float) -> float:
        """The soonest that `missing` more can have come back, after several windows if need be."""
        account = self.account
        if isinstance(account, SlidingLog):
            windows, rest = divmod(missing - 1, account.limit)
            at = account.next_at(rest + 1, now)
            return (now if at == inf else at) + windows * account.window
        return account.next_at(missing, now)

    @property
    def spacing(self) -> float:
        """Seconds between two permits that are spread evenly."""
        account = self.account
        if isinstance(account, TokenBucket):
            return 1.0 / account.rate
        if isinstance(account, SlidingLog):
            return account.window / account.limit
        return 0.0


class Rolling(Metered):
    """Counts on a server with a rolling quota: a sliding log until it shows a token bucket.

    Args:
        limit: requests a window.
        shortest: the window's length, at least; seconds.
        longest: the window's length, at most; seconds.
        history: of all permits, and of those to come.
        ended: how many permits are over.
        now: monotonic.
    """

    __slots__ = (
        "_confirmed", "_explained", "_history", "_longest", "_refusals", "_shortest",
        "_tested", "_unexplained", "_way",
    )  # fmt: skip

    def __init__(
        self,
        limit: int,
        shortest: float,
        longest: float,
        history: History,
        ended: int,
        now: float,
    ) -> None:
        super().__init__(SlidingLog(limit, longest, history.log(ended, now)))
        self._history = history
        self._shortest = shortest
        self._longest = longest
        self._refusals = 0
        self._explained = 0
        self._confirmed = 0.0
        self._way = 0.0
        self._unexplained = 0.0
        self._tested = False

    def left(self, now: float) -> float:
        """The account's level, less what the last answer left unexplained.

        Of what a sliding log has given back since the last answer only one request may go
        at first. Its answer shows whether the rest is there: no burst is sent on a guess.
        """
        level = self.account.level(now) - self._unexplained
        if isinstance(self.account, SlidingLog):
            return min(level, self._confirmed + 1)
        return level

    def observe(self, remaining: int, answer: SettledPermit) -> None:
        """Take in that `remaining` requests were left when `answer` was made.

        What is surely left is that, less all that may have been counted since and has
        ended. What the account has beyond `remaining` is either in flight, and the next
        answers will show it, or it was spent by others.
        """
        account, now = self.account, answer.now
        surely = remaining - answer.overlap
        # Nothing can have come back by a window yet, so what came back shows a token bucket.
        test = answer.probe and answer.sent < self._after_oldest(_SURELY_SOONER)
        account.charge(now)
        self._way = max(self._way, answer.way)
        if isinstance(account, SlidingLog) and surely > account.level(now):
            age = self._history.age(int(account.limit - surely), answer.ended, now)
            # A request was counted before it ended, by no more than its way there and back.
            if self._refusals < _REFUSALS and age + self._way < _SURELY_SOONER * self._shortest:
                rate, level = account.limit / self._longest, account.level(now)
                account = self.account = TokenBucket(account.limit, rate, level=level, now=now)
        self._tested = self._tested or test
        account.lower(remaining + answer.in_flight, now)
        account.lift(surely, now)
        # What is in flight now explains no more than itself, and this one is not any more.
        self._unexplained = max(self._unexplained - 1, 0.0)
        excess = max(account.level(now) - remaining, 0.0)
        if answer.number > self._explained or excess > self._unexplained:
            self._explained, self._unexplained = answer.number, excess
        self._confirmed = account.level(now) - self._unexplained

    def refused(self, in_flight: int, now: float) -> None:
        """Nothing is left, and what was learned is in doubt."""
        self._refusals += 1
        self._unexplained = 0.0
        account = self.account
        if isinstance(account, TokenBucket) and self._refusals >= _REFUSALS:
            account = SlidingLog(account.limit, self._longest, [(now, account.limit)])
            self.account = account
        account.lower(in_flight, now)
        self._confirmed = account.level(now)
        if isinstance(account, SlidingLog):
            # Reset may be rounded down, or speak of an older request.
            account.window = self._longest + ROUNDING

    def resize(self, limit: int, shortest: float, longest: float) -> None:
        """Take over what a newer Reset says of the limit and of the window's length."""
        self._longest = longest
        self._shortest = max(self._shortest, shortest)
        account = self.account
        account.limit = limit
        if isinstance(account, TokenBucket):
            account.rate = limit / longest
        elif isinstance(account, SlidingLog):
            account.window = longest + (ROUNDING if self._refusals else 0.0)

    @property
    def kept(self) -> int:
        """One request is kept back until it has tested for a token bucket.

        If nothing is logged, there is nothing to come back, so nothing to test for.
        """
        if self._tested or self._refusals >= _REFUSALS:
            return 0
        return int(self.test_at < inf)

    @property
    def test_at(self) -> float:
        """When the request that is kept back is sent, monotonic."""
        return self._after_oldest(1 / _TEST_PART)

    def _after_oldest(self, part: float) -> float:
        """Monotonic time, this part of the shortest window after the oldest request logged."""
        account = self.account
        oldest = account.oldest() if isinstance(account, SlidingLog) else None
        return inf if oldest is None else oldest + part * self._shortest
