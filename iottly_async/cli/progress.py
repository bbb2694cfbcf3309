"""Shows the progress of an ingestion: a bar on a terminal, else a line every 5 seconds."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from ..ingest import Progress as State
from ..ingest import TimeShares
from ..models import Quota
from .console import BAD, GOOD, MARKED, WARNING, say, stderr

_EVERY: Final = 5.0  # seconds between two lines


class ProgressView(Protocol):
    """Shows the progress of a job within a `with` block."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def show(self, state: State) -> None:
        """Show the job's progress."""
        ...


def progress_view(*, quiet: bool) -> ProgressView:
    """Choose the view for stderr: a bar on a terminal, else lines; none with `quiet`."""
    if quiet:
        return QuietView()
    return BarView() if stderr().is_terminal else LineView()


class QuietView:
    """Prints nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing: nothing was printed."""

    def show(self, state: State) -> None:
        """Print nothing."""


class LineView(QuietView):
    """Prints a line every 5 seconds."""

    def __init__(self) -> None:
        self._shown = 0.0

    def show(self, state: State) -> None:
        """Print a line if the last one is at least 5 seconds old."""
        if state.seconds - self._shown < _EVERY:
            return
        self._shown = state.seconds
        say(
            f"{state.seconds:.0f} s: {state.rows:,} messages, {state.rows_per_second:,.0f} a "
            f"second, {state.requests:,} requests, quota {quota_text(state.quota)}, "
            f"{devices_text(state)} devices, limit {limit_text(state.shares)}, {_where(state)}"
            + (f", {wait}" if (wait := waiting_text(state)) else "")
        )


class BarView:
    """Draws a bar as wide as the terminal, with figures below it."""

    def __init__(self) -> None:
        # `show` redraws, so rich needs no thread of its own.
        self._live = Live(console=stderr(), auto_refresh=False, vertical_overflow="visible")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, state: State) -> None:
        """Redraw the bar and the figures."""
        self._live.update(Group(_bar(state), _figures(state)), refresh=True)


def _bar(state: State) -> Table:
    """The bar: the stored share of the range, and the estimated time for the rest."""
    ended = 0 < state.devices == state.done + state.failed and not state.waiting
    share, remaining = (1.0, 0.0) if ended else (state.share, state.seconds_left)
    row = Table.grid(Column(ratio=1), Column(no_wrap=True), padding=(0, 1), expand=True)
    bar = ProgressBar(
        total=1.0, completed=share or 0.0, pulse=share is None, animation_time=state.seconds
    )
    row.add_row(bar, Text(age_text(state) if state.following else remaining_text(remaining), GOOD))
    return row


def _figures(state: State) -> Text:
    parts = (
        (f"{state.rows:,} rows", ""),
        (f"{state.rows_per_second:,.0f}/s", MARKED),
        (f"{state.requests:,} requests", ""),
        (f"quota {quota_text(state.quota)}", MARKED),
        (f"{devices_text(state)} devices", ""),
        (f"limit {_short(state.shares)}", WARNING),
        *([(wait, f"bold {BAD}")] if (wait := waiting_text(state)) else []),
    )
    return Text("  ").join(Text(text, style) for text, style in parts)


def quota_text(quota: Quota) -> str:
    """Format the remaining quota, such as "412/600"."""
    if quota.limit is None or quota.remaining is None:
        return "unlimited" if quota.source == "unknown" else "unknown"
    waiting = f", {quota.waiting} waiting" if quota.waiting else ""
    return f"{quota.remaining:,}/{quota.limit:,}{waiting}"


def waiting_text(state: State) -> str:
    """Format what the job waits for, such as "waiting for quota: 23 s"; "" if it goes on."""
    seconds = state.waiting_seconds
    if state.waiting_for == "service":
        return f"service away: {seconds or 0:,.0f} s"
    if state.waiting_for == "quota":
        return "waiting for quota" + ("" if seconds is None else f": {seconds:,.0f} s")
    return ""


def devices_text(state: State) -> str:
    """Format the number of finished devices, such as "6/20"."""
    failed = f" ({state.failed} failed)" if state.failed else ""
    return f"{state.done + state.failed}/{state.devices}{failed}"


def remaining_text(seconds: float | None) -> str:
    """Format the remaining time, such as "1:05:00" or "0:07"; None is "-:--"."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def limit_text(shares: TimeShares) -> str:
    """Format the bottleneck, and the shares of time that show it."""
    return f"{shares.bottleneck or 'nothing'} ({shares})"


def age_text(state: State) -> str:
    """Format how far the store lags behind the present, such as "following, 5 s behind"."""
    age = state.cursor_age
    return "following" if age is None else f"following, {age:,.0f} s behind"


def _where(state: State) -> str:
    """Format how far the job is from its end, or from the present."""
    if state.following:
        return age_text(state)
    return f"{state.intervals:,} windows open, {remaining_text(state.seconds_left)} to go"


def _short(shares: TimeShares) -> str:
    limit = shares.bottleneck
    return "none" if limit is None else f"{limit} {getattr(shares, limit):.0%}"
