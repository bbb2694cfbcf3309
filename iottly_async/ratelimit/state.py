"""The quota of one key as its answers show it: how the server counts, and what is left. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf
from typing import Final, NamedTuple

from ..models.quota import QuotaSource
from .observe import QuotaObserver, Reading, SettledPermit
from .rolling import History, Metered, Rolling, SlidingLog
from .share import QuotaShare
from .supply import Supply, Unlimited
from .window import FixedWindow, Place, RefusedWindows, ServerWindow

__all__ = ["QuotaSnapshot", "QuotaState"]

TIER_WINDOW: Final = 60.0
"""Seconds of a configured tier's window: the service counts by the minute."""

_BARE_PROBES: Final = 3
"""After this many probes in a row without limit headers, the headers have ceased."""

_EARLY_MOVES: Final = 2
"""After this many early moves of Reset in a row, the server keeps a rolling quota."""


class QuotaSnapshot(NamedTuple):
    """The quota as known at one moment.

    Attributes:
        limit: requests a window; None if not known, or unlimited.
        remaining: requests left; None like `limit`, and between two windows.
        resets_in: seconds; None if not known.
        window: seconds; None if not known.
        source: where this comes from.
        rate: requests a second, as learned; None if none is.
    """

    limit: int | None
    remaining: int | None
    resets_in: float | None
    window: float | None
    source: QuotaSource
    rate: float | None = None


class QuotaState:
    """Follows the quota of one key.

    Args:
        reserve: requests of each window that are left to others; below 1 a share of the limit.
        tier: requests a minute on a server without limit headers; 0 for no limit; None if
            not known.
        random: draws a number in [0, 1).

    Attributes:
        observer: reads the answers.
        share: how much of a fixed window to use, if others use the key.
        supply: how the server counts.
        reserve: requests of each window that are left to others.
    """

    __slots__ = (
        "_answers_tell", "_bare_probes", "_early", "_history", "_random", "_refused",
        "_reserve", "_reserve_limit", "_tier", "observer", "reserve", "share", "supply",
    )  # fmt: skip

    def __init__(self, *, reserve: float, tier: int | None, random: Callable[[], float]) -> None:
        self.observer = QuotaObserver()
        self.share = QuotaShare(random)
        self._random = random
        self.supply: Supply = Unlimited(endless=tier == 0)
        self.reserve = 0
        self._history = History()
        self._reserve = reserve
        self._reserve_limit = 0
        self._tier = tier
        self._bare_probes = 0
        self._early = 0
        self._answers_tell = False
        self._refused = RefusedWindows()

    @property
    def kept(self) -> int:
        """Requests that are kept back, to test how the server counts."""
        return self.supply.kept if isinstance(self.supply, Rolling) else 0

    def probe_at(self, now: float, wall: float) -> float:
        """When one request may go although none is left: the next window has begun by then."""
        return self.observer.ends(now, wall) if self.observer.window.known else inf

    def recent(self, answer: SettledPermit) -> tuple[float, int]:
        """Since when, within the last window, and how many were answered before `answer`."""
        return self._history.recent(answer.ended - 1, answer.now)

    def learn(self, reading: Reading, answer: SettledPermit) -> None:
        """Take in an answer that was read."""
        if answer.now >= self._history.next_at:
            self._history.note(answer.now, answer.ended - 1)
        remaining = reading.remaining
        if remaining is None:
            self._learn_without_headers(answer)
            return
        self._bare_probes = 0
        if answer.status != 429:
            self._answers_tell = True
        supply = self.supply
        if reading.place is Place.NEWER:
            self._begin_window(remaining, reading, answer)
        elif reading.resized:
            self.supply = FixedWindow(remaining, answer.granted)
            self._begin_share(remaining, answer)
        elif isinstance(supply, FixedWindow):
            number, granted = answer.number, answer.granted
            same = reading.place is Place.SAME
            if same:
                self._share_in(remaining, answer)
            if same and supply.observe(remaining, number, granted, answer.overlap):
                self._count_rolling(remaining, answer)
        elif isinstance(supply, Rolling):
            supply.observe(remaining, answer)
        if self.observer.window.limit != self._reserve_limit:
            self._set_reserve()

    def _begin_window(self, remaining: int, reading: Reading, answer: SettledPermit) -> None:
        """Reset moved on: a new window, or a rolling quota at work."""
        window, supply = self.observer.window, self.supply
        self._history.keep(window.longest)
        if reading.resized or not isinstance(supply, Rolling | FixedWindow):
            self._early = 0
            self.supply = FixedWindow(remaining, answer.granted)
            self._begin_share(remaining, answer)
        elif isinstance(supply, Rolling):
            supply.resize(window.limit, window.shortest, window.longest)
            supply.observe(remaining, answer)
        else:
            # In a window that has just begun nothing can be counted but what was in flight
            # when this permit was granted, what was granted since, and what others sent.
            ended_before = answer.ended - answer.overlap - 1
            begun = remaining >= window.limit - (answer.granted - ended_before)
            little = 2 * remaining < window.limit
            if not begun and (reading.early or little or remaining <= supply.left(answer.now)):
                self._early += 1
            elif not reading.early:
                self._early = 0
            supply.begin(remaining, answer.granted)
            self._begin_share(remaining, answer)
            if self._early >= _EARLY_MOVES:
                self._count_rolling(remaining, answer)

    def _begin_share(self, remaining: int, answer: SettledPermit) -> None:
        ends = self.observer.ends(answer.now, answer.wall)
        self.share.begin(self.observer.window.limit, answer.now, ends, remaining)
        self._share_in(remaining, answer)

    def _share_in(self, remaining: int, answer: SettledPermit) -> None:
        refused = answer.status == 429 and remaining == 0
        self.share.observe(
            remaining, answer.granted - answer.ended, answer.now, answer.way, refused=refused
        )

    def lost(self, granted: int, now: float) -> None:
        """A request ended, and no answer tells whether it was counted."""
        self.share.lost()
        self.supply.lost(granted, now)

    def _count_rolling(self, remaining: int, answer: SettledPermit) -> None:
        """The server keeps a rolling quota, as its answers show."""
        window = self.observer.window
        self.share = QuotaShare(self._random)
        self.supply = supply = Rolling(
            window.limit,
            window.shortest,
            window.longest,
            self._history,
            answer.ended - 1,
            answer.now,
        )
        supply.observe(remaining, answer)

    def _learn_without_headers(self, answer: SettledPermit) -> None:
        """Take in an answer without limit headers: whether it was counted is not known."""
        if answer.status == 429:
            return
        if answer.status < 500:
            if not self.observer.window.known:
                if self._tier and not isinstance(self.supply, Metered):
                    self._count_without_headers()
            elif answer.probe:
                self._bare_probes += 1
                if self._bare_probes >= _BARE_PROBES or not self._answers_tell:
                    self._count_without_headers()
        if answer.status != 503 or not isinstance(self.supply, Unlimited):
            self.lost(answer.granted, answer.now)

    def _count_without_headers(self) -> None:
        """Count by the configured tier or, if only refusals had headers, by what they said."""
        limit, seconds = self._tier, TIER_WINDOW
        window = self.observer.window
        if window.known and not self._answers_tell:
            limit, seconds = window.limit, self._refused.length(window)
        self.observer.window = ServerWindow()
        self.reserve = self._reserve_limit = 0
        self.share = QuotaShare(self._random)
        self.supply = Metered(SlidingLog(limit, seconds)) if limit else Unlimited()

    def _set_reserve(self) -> None:
        self._reserve_limit = limit = self.observer.window.limit
        reserve = ceil(self._reserve * limit) if self._reserve < 1 else int(self._reserve)
        self.reserve = max(min(reserve, limit - 1), 0)

    def earliest(self, missing: float, now: float, wall: float) -> float:
        """The soonest that `missing` more can have come back, if all goes well."""
        supply, window = self.supply, self.observer.window
        if isinstance(supply, FixedWindow):
            windows = ceil(missing / max(window.limit - self.reserve, 1))
            ends = self.observer.ends(now, wall)
            return max(ends, now) + (windows - 1) * window.shortest
        if isinstance(supply, Metered):
            return max(supply.earliest(missing, now), now)
        return now

    def gap(self, free: float, now: float, wall: float) -> float:
        """Seconds between two permits that are spread evenly, with `free` left."""
        if isinstance(self.supply, FixedWindow):
            return max(self.observer.ends(now, wall) - now, 0.0) / max(free, 1.0)
        if isinstance(self.supply, Metered):
            return self.supply.spacing
        return 0.0

    def snapshot(self, in_flight: int, now: float, wall: float) -> QuotaSnapshot:
        """The quota as known now: what may still be sent, including the reserve."""
        supply, window = self.supply, self.observer.window
        if isinstance(supply, Unlimited):
            source: QuotaSource = "configured" if self._tier == 0 else "unknown"
            return QuotaSnapshot(None, None, None, None, source)
        left = max(int(supply.left(now)) - in_flight, 0)
        if not window.known and isinstance(supply, Metered):
            source = "configured" if self._refused.reset is None else "server"
            account = supply.account
            seconds = account.window if isinstance(account, SlidingLog) else None
            return QuotaSnapshot(account.limit, left, None, seconds, source)
        ends_in = self.observer.ends(now, wall) - now
        if isinstance(supply, FixedWindow):
            if ends_in <= 0:
                return QuotaSnapshot(window.limit, None, None, window.length, "server")
            return QuotaSnapshot(window.limit, left, ends_in, window.length, "server")
        return QuotaSnapshot(window.limit, left, max(ends_in, 0.0), window.longest, "server")
