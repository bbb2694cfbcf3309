"""What the answers of one process tell the others, pure; time is passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...server_clock import ServerClock
from ...times import http_date
from ..cooldown import Cooldown
from ..headers import Observation, ObservationReader, retry_after
from ..observation import WAY_MOST
from ..window import Place, ServerWindow
from .script import Report

__all__ = ["ReportBuilder"]


class ReportBuilder:
    """Reads answers into a report for the script.

    Args:
        random: numbers in [0, 1), for jitter.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.clock = ServerClock()
        self.reader = ObservationReader()
        self.window = ServerWindow()
        self.gate = Cooldown(random, shut=False)
        self.report = Report()

    def take_report(self) -> Report:
        """The report until now; a fresh one begins."""
        report, self.report = self.report, Report()
        return report

    def keep(self, report: Report) -> None:
        """A report did not arrive, as far as is known: keep what may be told twice."""
        mine = self.report
        if mine.notice is None:
            mine.notice = report.notice
        if mine.gate_until is None:
            mine.gate_until = report.gate_until

    def heard(
        self,
        status: int,
        headers: Mapping[str, str],
        sent: float,
        now: float,
        wall: float,
        *,
        number: int,
        granted: int,
        probe: bool,
    ) -> None:
        """Take an answer in.

        Args:
            status: HTTP.
            headers: lower-case names.
            sent: monotonic; the request was sent then or later.
            now: monotonic.
            wall: the local wall clock.
            number: of the turn; 0 where it was not leased from Redis.
            granted: the highest number leased here.
            probe: whether it was sent to look.
        """
        date = headers.get("date")
        self.clock.observe_date(None if date is None else http_date(date), sent, now)
        notice = self.reader.read(status, headers)
        told = None if notice is None else self._take(notice, sent, now, wall, probe=probe)
        report = self.report
        if status == 429:
            wait = retry_after(headers, self.clock.now(now, wall))
            if wait is None and told == 0:
                ends_in = self._ends(now, wall) - now
                wait = ends_in if ends_in > 0 else None
            if self.gate.refused(number or granted + 1, granted, now, wait):
                report.gate_until = self.gate.until
            return
        self.gate.answered(number, now)
        if probe:
            # A proxy's 502 says nothing of the quota: somebody else shall look.
            conclusive = told is not None or status < 500
            report.opened |= conclusive
            report.probe_back |= not conclusive
            report.bare |= conclusive and told is None

    def _take(
        self, notice: Observation, sent: float, now: float, wall: float, *, probe: bool
    ) -> int | None:
        """Take the notice into the report; returns its Remaining, None where it is nonsense."""
        clock, window = self.clock, self.window
        server_now = clock.now(now, wall)
        place = window.place(notice, now, server_now)
        if place is Place.NONSENSE:
            return None
        if place is Place.OLDER:
            return notice.remaining
        if place is Place.NEWER:
            way = min(now - sent, WAY_MOST)
            window.take_over(notice, way, now, server_now, clock.latest(now, wall))
        else:
            window.refine(notice, now)
            window.note_limit(notice)
            if probe and not window.relative:
                clock.not_reached(window.reset, sent)
        reset = server_now + window.reset - now if window.relative else window.reset
        first = self.report.hear(
            reset,
            window.limit,
            notice.remaining,
            self._ends(now, wall),
            window.longest,
            window.tolerance,
        )
        self.report.turned |= first and place is Place.NEWER
        return notice.remaining

    def _ends(self, now: float, wall: float) -> float:
        return self.window.ends(now, self.clock.now(now, wall))
