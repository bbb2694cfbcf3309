"""The progress of an ingestion: what a line and the bar show while the job stands still."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from iottly_async.cli import progress
from iottly_async.cli.progress import BarView, LineView
from iottly_async.ingest import Progress, TimeShares
from iottly_async.ingest.waiting import WaitingFor
from iottly_async.models import Quota

QUOTA = Quota(
    limit=60, remaining=0, resets_at=None, waiting=3, in_flight=0, refusals=0, source="server"
)


def state(
    waiting_for: WaitingFor | None = None, seconds: float | None = None, *, devices: int = 6
) -> Progress:
    """The progress of a job after ten seconds."""
    return Progress(
        rows=100,
        rejected=0,
        waiting=0,
        requests=5,
        devices=devices,
        done=0,
        failed=min(devices, 1),
        seconds=10.0,
        rows_per_second=10.0,
        share=None,
        seconds_left=None,
        quota=QUOTA,
        intervals=6,
        cursor_age=None,
        following=False,
        shares=TimeShares(quota=1.0),
        waiting_for=waiting_for,
        waiting_seconds=seconds,
    )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed to stderr, as a wide terminal."""
    text = io.StringIO()
    console = Console(file=text, width=250, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "stderr", lambda: console)
    monkeypatch.setattr(progress, "say", lambda line: console.print(line, soft_wrap=True))
    return text


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (state("quota", 23.4), "waiting for quota: 23 s"),
        (state("quota"), "waiting for quota"),
        (state("service", 41.0), "service away: 41 s"),
        (state(), ""),
    ],
)
def test_a_job_that_stands_still_says_why(shown: io.StringIO, now: Progress, text: str) -> None:
    """A line and the bar have the same words. A job that goes on has none of them."""
    LineView().show(now)
    with BarView() as bar:
        bar.show(now)
    line, figures = shown.getvalue().split("to go", 1)[1].split("\n", 1)
    if text:
        assert line == f", {text}"
        assert figures.count(text) >= 1
    else:
        assert line == ""
    assert ("waiting for quota" in figures) == text.startswith("waiting for quota")
    assert ("service away" in figures) == text.startswith("service away")


def test_a_device_that_was_given_up_is_counted(shown: io.StringIO) -> None:
    """It is shown beside those that are done."""
    LineView().show(state())
    assert "1/6 (1 failed) devices" in shown.getvalue()


def test_a_job_that_knows_no_device_yet_is_not_at_its_end(shown: io.StringIO) -> None:
    """The bar is not full while the service is away at the job's beginning."""
    with BarView() as bar:
        bar.show(state("service", 5.0, devices=0))
    assert "-:--" in shown.getvalue()
    assert "0:00" not in shown.getvalue()
