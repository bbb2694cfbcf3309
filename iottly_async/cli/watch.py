"""How an ingestion is watched: a live line on a terminal, else a line now and then."""

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
from .output import say, stderr

_EVERY: Final = 5.0  # seconds between two lines where there is no terminal


class Watch(Protocol):
    """Shows how far a job is while the ``with`` lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def show(self, state: State) -> None:
        """Show a new state."""
        ...


def watch() -> Watch:
    """The one that fits stderr."""
    return LiveWatch() if stderr().is_terminal else LineWatch()


class LineWatch:
    """A line every five seconds."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is left to end."""

    def show(self, state: State) -> None:
        """Print a line, if the last one is long enough ago."""
        if state.seconds - self._shown < _EVERY:
            return
        self._shown = state.seconds
        say(
            f"{state.seconds:.0f} s: {state.rows:,} messages, {state.rows_per_second:,.0f} a "
            f"second, {state.requests:,} requests, quota {quota_text(state.quota)}, "
            f"{devices_text(state)} devices, limit {limit_text(state.shares)}, {_where(state)}"
        )


class LiveWatch:
    """A bar, and the figures below it, drawn four times a second; as wide as the terminal."""

    def __init__(self) -> None:
        # Drawn when the job tells something new: no thread, and no bar without news.
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
        """Draw both anew."""
        self._live.update(Group(_bar(state), _figures(state)), refresh=True)


def _bar(state: State) -> Table:
    """How much of the range is stored, and how long the rest takes."""
    ended = state.done + state.failed == state.devices and not state.waiting
    share, left = (1.0, 0.0) if ended else (state.share, state.seconds_left)
    row = Table.grid(Column(ratio=1), Column(no_wrap=True), padding=(0, 1), expand=True)
    bar = ProgressBar(
        total=1.0, completed=share or 0.0, pulse=share is None, animation_time=state.seconds
    )
    row.add_row(bar, Text(age_text(state) if state.following else left_text(left), "green"))
    return row


def _figures(state: State) -> Text:
    parts = (
        (f"{state.rows:,} rows", ""),
        (f"{state.rows_per_second:,.0f}/s", "cyan"),
        (f"{state.requests:,} requests", ""),
        (f"quota {quota_text(state.quota)}", "magenta"),
        (f"{devices_text(state)} devices", ""),
        (f"limit {_short(state.shares)}", "yellow"),
    )
    return Text("  ").join(Text(text, style) for text, style in parts)


def quota_text(quota: Quota) -> str:
    """What is left of the quota, such as "412/600"."""
    if quota.limit is None or quota.remaining is None:
        return "unlimited" if quota.source == "unknown" else "unknown"
    waiting = f", {quota.waiting} waiting" if quota.waiting else ""
    return f"{quota.remaining:,}/{quota.limit:,}{waiting}"


def devices_text(state: State) -> str:
    """Devices that ended, such as "6/20"."""
    failed = f" ({state.failed} failed)" if state.failed else ""
    return f"{state.done + state.failed}/{state.devices}{failed}"


def left_text(seconds: float | None) -> str:
    """A time to go, such as "1:05:00" or "0:07"."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def limit_text(shares: TimeShares) -> str:
    """What is the limit, and the shares it was found by."""
    return f"{shares.limit or 'nothing'} ({shares})"


def age_text(state: State) -> str:
    """How far the store is behind, such as "following, 5.2 s behind"."""
    age = state.cursor_age
    return "following" if age is None else f"following, {age:,.0f} s behind"


def _where(state: State) -> str:
    """How far the job is from its end, or from the present."""
    if state.following:
        return age_text(state)
    return f"{state.windows:,} windows open, {left_text(state.seconds_left)} to go"


def _short(shares: TimeShares) -> str:
    limit = shares.limit
    return "none" if limit is None else f"{limit} {getattr(shares, limit):.0%}"
