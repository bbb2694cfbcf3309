"""How an ingestion is watched: a live line on a terminal, else a line now and then."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol, Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from ..ingest import Progress as State
from ..ingest import Shares
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
    """A bar with the figures beside it, drawn four times a second."""

    def __init__(self) -> None:
        self._bar = Progress(
            BarColumn(bar_width=None, table_column=None),
            TextColumn("{task.fields[rows]}"),
            TextColumn("{task.fields[speed]}", style="cyan"),
            TextColumn("{task.fields[requests]}"),
            TextColumn("{task.fields[quota]}", style="magenta"),
            TextColumn("{task.fields[devices]}"),
            TextColumn("{task.fields[limit]}", style="yellow"),
            _Left(),
            console=stderr(),
            # Drawn when the job tells something new: no thread, and no bar without news.
            auto_refresh=False,
        )
        self._task = self._bar.add_task(
            "", total=None, rows="", speed="", requests="", quota="", devices="", limit="", left=""
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, state: State) -> None:
        """Draw the line anew."""
        ended = state.done + state.failed == state.devices and not state.waiting
        share, left = 1.0 if ended else state.share, state.seconds_left
        self._bar.update(
            self._task,
            total=None if share is None else 1.0,
            completed=share or 0.0,
            rows=f"{state.rows:,} rows",
            speed=f"{state.rows_per_second:,.0f}/s",
            requests=f"{state.requests:,} requests",
            quota=f"quota {quota_text(state.quota)}",
            devices=f"{devices_text(state)} devices",
            limit=f"limit {_short(state.shares)}",
            left=age_text(state) if state.following else left_text(0 if ended else left),
            refresh=True,
        )


class _Left(ProgressColumn):
    """The time to go, or how far a job that follows is behind."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["left"], style="green")


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


def limit_text(shares: Shares) -> str:
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


def _short(shares: Shares) -> str:
    limit = shares.limit
    return "none" if limit is None else f"{limit} {getattr(shares, limit):.0%}"
