"""Times in which every request is refused, and the windows that they show (D17). Pure.

A server that tells nothing of its limit may admit a whole window's requests at once, and refuse
everything for the rest of the window: a *dry spell*. While it lasts, only probes go. They go at
growing distances, and at times at which a window is likely to end: at the end of a minute, which
is the documented window, and when the learned rate has earned what was spent.

A long dry spell shows a window. What has passed from the end of one to the end of the next is
the server's rate.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["DrySpells", "Window"]

_LONG: Final = 3.0
"""A dry spell of more seconds shows a window; below shorter windows, requests go evenly."""

_LONG_GAPS: Final = 4
"""It is also longer than this many requests take at the rate."""

_UNSURE: Final = 3
"""After so many refused probes in a row it is a window's end, rather than bad luck."""

_LATER: Final = 0.5
"""The next probe goes after this part of the time that the spell has lasted."""

_TOWARDS: Final = 0.6
"""If the end is known about, the next probe goes after this part of the time left."""

_PROBE_MOST: Final = 30.0
"""Seconds between two probes, at most."""

_MINUTE: Final = 60.0
"""Seconds of the documented window."""

_GUARDS: Final = (0.05, 1.05)
"""Seconds after a whole minute at which a probe goes: `Date` tells the server's time to 1 s."""

_NEARLY: Final = 0.8
"""A refusal after about as many requests as a window admits at once, from this part on, is that
window's end."""


class Window(NamedTuple):
    """What the end of a long dry spell shows.

    Attributes:
        rate: requests a second, from the end of one long spell to the end of the next.
        lasted: seconds of the spell.
    """

    rate: float
    lasted: float


class DrySpells:
    """The dry spells of one key.

    Args:
        since: monotonic time from which on requests passed before the first spell.
        passed: how many had passed at that time.

    Attributes:
        dry: whether requests are refused, and none has passed since.
        probing: whether only probes may go.
        probe_at: monotonic time of the next probe.
    """

    __slots__ = (
        "_expected", "_first", "_minute", "_misses", "_passed", "_seen", "_since", "_started",
        "dry", "probe_at", "probing",
    )  # fmt: skip

    def __init__(self, since: float, passed: int) -> None:
        self.dry = self.probing = False
        self.probe_at = 0.0
        # The window under way: when it began, and how many had passed by then; windows seen.
        self._started, self._passed, self._seen = since, passed, 0
        self._first = True
        self._since = self._minute = 0.0
        self._misses = 0
        self._expected = False

    def refused(self, now: float, minute: float, passed: int, rate: float, burst: float) -> None:
        """Take a refusal into account; the first one after a success begins a spell.

        Args:
            now: monotonic.
            minute: monotonic time of the server's next whole minute.
            passed: how many have passed so far.
            rate: requests a second, as learned.
            burst: requests that pass at once after a rest.
        """
        self._minute = minute
        if self.dry:
            self._misses += 1
            self.probing, self._first = True, False
        else:
            self.dry, self._since, self._misses = True, now, 1
            # A single refusal holds nothing up: the requests in flight tell whether more is left.
            # Of the very first one the rate is too uncertain for that.
            self.probing = self._first
            spent = (passed - self._passed) / burst
            self._expected = self._seen > 0 and _NEARLY <= spent <= 1 / _NEARLY
        self.probe(now, passed, rate)

    def probe(self, now: float, passed: int, rate: float) -> None:
        """Set when the next probe goes: at a refusal, and when a probe is sent.

        Args:
            now: monotonic.
            passed: how many have passed so far.
            rate: requests a second, as learned.
        """
        lasted, gap = now - self._since, 1 / rate
        at = now + max(gap, _LATER * lasted)
        if self._expected or (self._misses > _UNSURE and lasted > _LONG):
            if self._seen:
                earned = self._started + (passed - self._passed) / rate
                if earned > now:
                    after = _TOWARDS * (earned - now)
                else:
                    after = _LATER * min(now - earned, lasted)
                at = now + max(gap, after)
            ends = [self._minute + guard for guard in _GUARDS]
            ends.append(self._started + _MINUTE + _GUARDS[0])
            at = min([at, *(end for end in ends if end > now)])
        self.probe_at = min(at, now + _PROBE_MOST)

    def end(self, now: float, passed: int, rate: float) -> Window | None:
        """A request passed: the spell is over.

        Args:
            now: monotonic.
            passed: how many have passed so far, including this one.
            rate: requests a second, as learned.

        Returns:
            What the spell shows if it was long; else None.
        """
        lasted = now - self._since
        self.interrupt()
        if self._misses < _UNSURE or lasted <= max(_LONG, _LONG_GAPS / rate):
            return None
        shown = Window((passed - self._passed) / (now - self._started), lasted)
        self._started, self._passed, self._seen = now, passed, self._seen + 1
        return shown

    def interrupt(self) -> None:
        """The spell is over, and shows nothing."""
        self.dry = self.probing = self._first = self._expected = False
