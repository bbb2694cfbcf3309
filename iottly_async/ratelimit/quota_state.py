"""What the answers have taught about the server's quota, pure.

Which way of counting holds (the supply), which window is running and when it ends in our
own time, and what is kept back: a reserve for others, and a few requests to look with as
long as the end of a window has not been seen to come when it was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, inf
from typing import NamedTuple

from ..models.quota import QuotaSource
from ..server_clock import ServerClock
from ..times import http_date
from .account import SlidingLog
from .headers import Observation, ObservationReader
from .observation import SettledPermit
from .rolling import History, Metered, Rolling
from .supply import FixedWindow, Supply, Unlimited
from .turning import TurnWatch
from .window import Place, RefusedWindows, ServerWindow

__all__ = ["QuotaSnapshot", "QuotaState"]

TIER_WINDOW = 60.0
"""Seconds of a configured tier's window: the service counts by the minute."""

_BARE_PROBES = 3
"""So many probes in a row answered without a notice, and the headers have ceased."""

_ROLLING_MOVES = 2
"""So many early moves of Reset in a row, and the server keeps a rolling account."""


class QuotaSnapshot(NamedTuple):
    """The quota as known now; seconds from now."""

    limit: int | None
    remaining: int | None
    resets_in: float | None
    source: QuotaSource


class QuotaState:
    """The server's quota as the answers show it.

    Args:
        reserve: requests of each window that are left to others; below 1 a share of the limit.
        tier: requests a minute where no header comes; 0 or None for no limit.
    """

    __slots__ = (
        "_answers_tell", "_bare_probes", "_early", "_refused", "_reserve", "_tier",
        "clock", "history", "kept", "reader", "reserve", "supply", "watch", "window",
    )  # fmt: skip

    def __init__(self, *, reserve: float, tier: int | None) -> None:
        self.clock = ServerClock()
        self.reader = ObservationReader()
        self.window = ServerWindow()
        self.watch = TurnWatch(self.clock, self.window)
        self.history = History()
        self.supply: Supply = Unlimited()
        self.reserve = 0
        """Requests of a window that are left to others."""
        self.kept = 0
        """Requests kept back as scouts."""
        self._reserve = reserve
        self._tier = tier
        self._bare_probes = 0
        self._early = 0
        self._answers_tell = False
        self._refused = RefusedWindows()

    def read(
        self, status: int, headers: Mapping[str, str], sent: float, now: float
    ) -> Observation | None:
        """Set the clock by an answer's `Date`, and read its notice."""
        date = headers.get("date")
        self.clock.observe_date(None if date is None else http_date(date), sent, now)
        return self.reader.read(status, headers)

    def ends(self, now: float, wall: float) -> float:
        """Monotonic time from which the next window surely runs; may lie in the past."""
        return self.watch.latest(now, wall)

    def scout_at(self, free: float, now: float, wall: float) -> float | None:
        """When the next of the `free` requests that are kept back may go to look.

        None where looking is of no use: then they need not be kept back.
        """
        if isinstance(self.supply, Rolling):
            return self.supply.scout_at(now)
        return self.watch.scout_at(free, now, wall) if self.kept else None

    def probe_at(self, now: float, wall: float) -> float:
        """When one request may go although none is left: a window must have begun by then."""
        return self.ends(now, wall) if self.window.known else inf

    def learn(self, notice: Observation | None, answer: SettledPermit) -> Observation | None:
        """Take an answer in; returns its notice unless that is nonsense."""
        server_now = self.clock.now(answer.now, answer.wall)
        if notice is not None:
            place = self.window.place(notice, answer.now, server_now)
            if place is not Place.NONSENSE:
                self._bare_probes = 0
                self._answers_tell = self._answers_tell or answer.status != 429
                self._told(notice, place, answer, server_now)
                self._keep_back()
                return notice
        self._bare(answer)
        return None

    def _told(
        self, notice: Observation, place: Place, answer: SettledPermit, server_now: float
    ) -> None:
        window, supply = self.window, self.supply
        if place is Place.NEWER:
            self._turned(notice, answer, server_now)
        elif place is Place.SAME:
            window.refine(notice, answer.now)
            if notice.limit not in (None, window.limit):
                window.note_limit(notice)
                self.supply = FixedWindow(notice.remaining, answer.granted)
            elif isinstance(supply, FixedWindow):
                window.note_limit(notice)
                if answer.probe:
                    self.watch.not_turned(answer.sent, answer.now, answer.wall)
                if supply.heard(notice.remaining, answer.number, answer.granted, answer.overlap):
                    self._rolls(notice, answer)
            else:
                self._told_rolling(notice, answer)
        else:
            self._told_rolling(notice, answer)

    def _turned(self, notice: Observation, answer: SettledPermit, server_now: float) -> None:
        """Reset moved on: a new window, or a rolling account at work."""
        window, supply, now = self.window, self.supply, answer.now
        latest = self.clock.latest(now, answer.wall)
        early = window.known and window.moved_early(now, latest)
        on_time = True
        if not answer.probe:
            self.watch.next_window()
        elif isinstance(supply, FixedWindow):
            on_time = self.watch.turned(answer.sent, now, answer.wall)
        another_limit = window.known and notice.limit not in (None, window.limit)
        window.take_over(notice, answer.way, now, server_now, latest)
        self.history.keep(window.longest)
        if another_limit or not isinstance(supply, Rolling | FixedWindow):
            self._early = 0
            self.supply = FixedWindow(notice.remaining, answer.granted)
        elif isinstance(supply, Rolling):
            supply.moved(window.limit, window.least, window.longest)
            self._told_rolling(notice, answer)
        else:
            # In a window that has just begun nothing can be counted but what was in flight
            # when this ticket was granted, what was granted since, and what others sent.
            ended_before = answer.ended - answer.overlap - 1
            begun = notice.remaining >= window.limit - (answer.granted - ended_before)
            little = 2 * notice.remaining < window.limit
            if not begun and (early or little or notice.remaining <= supply.left(now)):
                self._early += 1
            elif not early:
                self._early = 0
            supply.turn(notice.remaining, answer.granted)
            if self._early >= _ROLLING_MOVES or not on_time:
                self._rolls(notice, answer)

    def _rolls(self, notice: Observation, answer: SettledPermit) -> None:
        """The server keeps a rolling account, as its answers show."""
        window = self.window
        self.supply = Rolling(
            window.limit, window.least, window.longest, self.history, answer.ended - 1, answer.now
        )
        self._told_rolling(notice, answer)

    def _told_rolling(self, notice: Observation, answer: SettledPermit) -> None:
        if isinstance(self.supply, Rolling):
            self.supply.told(notice.remaining, answer)

    def _bare(self, answer: SettledPermit) -> None:
        """An answer without a notice: whether it was counted is not known."""
        if answer.status == 429:
            return
        if answer.status < 500:
            if not self.window.known:
                if self._tier and not isinstance(self.supply, Metered):
                    self._without_headers()
            elif answer.probe:
                self._bare_probes += 1
                if self._bare_probes >= _BARE_PROBES or not self._answers_tell:
                    self._without_headers()
        self.supply.suspected(answer.granted, answer.now)

    def _without_headers(self) -> None:
        """Go on by what was configured, or, where only refusals ever told, by what they did."""
        limit, seconds = self._tier, TIER_WINDOW
        if self.window.known and not self._answers_tell:
            limit, seconds = self.window.limit, self._refused.length(self.window)
        self.window = ServerWindow()
        self.watch = TurnWatch(self.clock, self.window)
        self.reserve = self.kept = 0
        self.supply = Metered(SlidingLog(limit, seconds)) if limit else Unlimited()

    def _keep_back(self) -> None:
        limit = self.window.limit
        reserve = ceil(self._reserve * limit) if self._reserve < 1 else int(self._reserve)
        self.reserve = max(min(reserve, limit - 1), 0)
        self.kept = self.supply.kept if isinstance(self.supply, Rolling) else self.watch.kept

    def earliest(self, missing: float, now: float, wall: float) -> float:
        """The soonest that `missing` more can have come back, if all goes well."""
        supply, window = self.supply, self.window
        if isinstance(supply, FixedWindow):
            windows = ceil(missing / max(window.limit - self.reserve, 1))
            return max(self.ends(now, wall), now) + (windows - 1) * window.least
        if isinstance(supply, Metered):
            return max(supply.earliest(missing, now), now)
        return now

    def gap(self, free: float, now: float, wall: float) -> float:
        """Seconds between two turns that are spread evenly, with `free` left."""
        if isinstance(self.supply, FixedWindow):
            return max(self.ends(now, wall) - now, 0.0) / max(free, 1.0)
        if isinstance(self.supply, Metered):
            return self.supply.spacing
        return 0.0

    def outlook(self, in_flight: int, now: float, wall: float) -> QuotaSnapshot:
        """The quota as known now: what may still be sent, reserve and all."""
        supply, window = self.supply, self.window
        if isinstance(supply, Unlimited):
            return QuotaSnapshot(None, None, None, "configured" if self._tier == 0 else "unknown")
        left = max(int(supply.left(now)) - in_flight, 0)
        if not window.known and isinstance(supply, Metered):
            source: QuotaSource = "configured" if self._refused.reset is None else "server"
            return QuotaSnapshot(supply.account.limit, left, None, source)
        ends_in = self.ends(now, wall) - now
        if ends_in <= 0 and isinstance(supply, FixedWindow):
            return QuotaSnapshot(window.limit, None, None, "server")
        return QuotaSnapshot(window.limit, left, max(ends_in, 0.0), "server")
