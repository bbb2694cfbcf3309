"""What one process reports to Redis about its answers. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..cooldown import Cooldown
from ..observe import QuotaObserver
from ..window import Place

__all__ = ["Report", "Reporter", "WindowReport"]


class WindowReport(NamedTuple):
    """What the answers said of one window.

    Attributes:
        reset: epoch seconds.
        limit: requests a window.
        remaining: the smallest Remaining seen.
        ends: monotonic time of the window's end.
        length: seconds.
        tolerance: seconds by which two Resets of one window differ at most.
    """

    reset: float
    limit: int
    remaining: int
    ends: float
    length: float
    tolerance: float


class Report:
    """What happened in this process since the script was last called.

    Attributes:
        over: permits that are over, by generation.
        window: of the newest window; None if no answer showed one.
        cooldown_until: monotonic time before which nothing may go; None if nothing was refused.
        probed: whether a probe was answered.
        bare: whether answers came without limit headers.
        probe_lost: whether a probe came to nothing.
        begun: whether `window` is the first that was said of its window.
        freed: whether permits came back that were not used.
    """

    __slots__ = (
        "bare", "begun", "cooldown_until", "freed", "over", "probe_lost", "probed", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.over: dict[int, int] = {}
        self.window: WindowReport | None = None
        self.cooldown_until: float | None = None
        self.probed = False
        self.bare = False
        self.probe_lost = False
        self.begun = False
        self.freed = False

    def __bool__(self) -> bool:
        return bool(self.over or self.window or self.urgent)

    @property
    def urgent(self) -> bool:
        """Whether all who wait should know at once."""
        return (
            self.cooldown_until is not None
            or self.probed
            or self.probe_lost
            or self.bare
            or self.begun
            or self.freed
        )

    def end(self, generation: int) -> None:
        """A permit of this generation is over."""
        self.over[generation] = self.over.get(generation, 0) + 1

    def add(self, window: WindowReport) -> bool:
        """Add what an answer said of its window; True if it is the first of a newer window."""
        known = self.window
        if known is None or window.reset > known.reset + window.tolerance:
            self.window = window
            return True
        if window.reset >= known.reset - window.tolerance:
            least = min(known.remaining, window.remaining)
            self.window = window._replace(reset=known.reset, remaining=least)
        return False

    def arguments(self, want: int, now: float, *, reserve: float, spread: bool) -> list[str]:
        """The script's arguments, with all times relative to `now`."""
        newest = [*sorted(self.over.items(), reverse=True)[:2], (0, 0), (0, 0)]
        window = self.window or WindowReport(0, 0, 0, now, 0, 0)
        cooldown = self.cooldown_until
        numbers: list[float] = [
            want,
            *newest[0],
            *newest[1],
            window.reset,
            window.limit,
            window.remaining,
            max(window.ends - now, 0.0),
            window.length,
            window.tolerance,
            0.0 if cooldown is None else max(cooldown - now, 0.001),
            self.probed,
            self.bare,
            self.probe_lost,
            reserve,
            spread,
        ]
        return [f"{number:.6f}" for number in numbers]


class Reporter:
    """Reads the answers of this process into a report.

    Args:
        random: draws a number in [0, 1), for jitter.

    Attributes:
        observer: reads the answers.
        cooldown: the pause after a 429.
        report: what is to be reported.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.observer = QuotaObserver()
        self.cooldown = Cooldown(random, active=False)
        self.report = Report()

    def take(self) -> Report:
        """The report until now; a fresh one begins."""
        report, self.report = self.report, Report()
        return report

    def restore(self, report: Report) -> None:
        """A report may not have arrived: keep those of its parts that may be said twice."""
        mine = self.report
        if mine.window is None:
            mine.window = report.window
        if mine.cooldown_until is None:
            mine.cooldown_until = report.cooldown_until

    def observe(
        self,
        status: int,
        headers: Mapping[str, str],
        *,
        sent: float,
        now: float,
        wall: float,
        number: int,
        granted: int,
        probe: bool,
    ) -> None:
        """Take in an answer.

        Args:
            status: the HTTP status.
            headers: lower-case names.
            sent: monotonic; the request was sent at this time or later.
            now: monotonic.
            wall: the local wall clock.
            number: of the permit; 0 if it was not leased from Redis.
            granted: the highest number leased here.
            probe: whether the request was a probe.
        """
        observer, report = self.observer, self.report
        reading = observer.observe(status, headers, sent, now, wall, probe)
        remaining, window = reading.remaining, observer.window
        ends = observer.ends(now, wall)
        if remaining is not None and reading.place is not Place.OLDER:
            reset = window.reset
            if window.relative:
                reset += observer.clock.now(now, wall) - now
            first = report.add(
                WindowReport(
                    reset,
                    window.limit,
                    remaining,
                    ends,
                    window.longest,
                    window.tolerance,
                )
            )
            report.begun |= first and reading.place is Place.NEWER
        if status == 429:
            wait = reading.wait
            if wait is None and remaining == 0:
                wait = ends - now if ends > now else None
            if self.cooldown.refused(number or granted + 1, granted, now, wait):
                report.cooldown_until = self.cooldown.until
            return
        self.cooldown.answered(number, now)
        if probe:
            # A proxy's 502 says nothing of the quota: another request has to probe.
            conclusive = remaining is not None or status < 500
            report.probed |= conclusive
            report.probe_lost |= not conclusive
            report.bare |= conclusive and remaining is None
