"""What a run waits for: quota or the service, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from iottly_async.ingest.waiting import Waiting, WaitMeter
from iottly_async.models import Outage, Quota

WALL = 1_800_000_000.0
OUTAGE = Outage(since=datetime(2026, 1, 1, tzinfo=UTC), seconds=41.0, reason="ConnectError")


def quota(*, waiting: int = 0, in_flight: int = 0, reset_in: float | None = 23.0) -> Quota:
    """A quota whose window ends in some seconds."""
    return Quota(
        limit=60,
        remaining=0,
        resets_at=None if reset_in is None else datetime.fromtimestamp(WALL + reset_in, UTC),
        waiting=waiting,
        in_flight=in_flight,
        refusals=0,
        source="server",
    )


def meter_after(seconds: float, now: Quota, outage: Outage | None = None) -> WaitMeter:
    """A meter after some seconds with the same quota and outage, sampled ten times a second."""
    meter = WaitMeter(0.0)
    for tenth in range(1, round(seconds * 10) + 1):
        meter.sample(tenth / 10, WALL, quota=now, outage=outage)
    return meter


def test_calls_that_stand_still_wait_for_quota() -> None:
    """It is said until when, and the whole wait is counted."""
    meter = meter_after(5, quota(waiting=3))
    assert meter.current == Waiting(reason="quota", seconds=23.0)
    assert meter.quota == pytest.approx(5)


def test_an_unknown_end_of_the_window_is_not_guessed() -> None:
    """The wait is told without its seconds."""
    meter = meter_after(5, quota(waiting=1, reset_in=None))
    assert meter.current == Waiting(reason="quota", seconds=None)


@pytest.mark.parametrize("now", [quota(), quota(waiting=3, in_flight=1), quota(in_flight=2)])
def test_a_run_whose_requests_are_under_way_goes_on(now: Quota) -> None:
    """Calls may wait meanwhile."""
    meter = meter_after(60, now)
    assert (meter.current, meter.quota, meter.service) == (None, 0.0, 0.0)


def test_the_pace_between_two_requests_is_no_wait() -> None:
    """A stop of less than a second is neither shown nor counted."""
    meter = WaitMeter(0.0)
    for tenth in range(1, 601):
        calls = quota(in_flight=1) if tenth % 9 == 0 else quota(waiting=1)
        meter.sample(tenth / 10, WALL, quota=calls, outage=None)
        assert meter.current is None
    assert meter.quota == 0.0


def test_an_outage_comes_before_the_quota() -> None:
    """While the service is away, the run waits for it, and for how long is said."""
    meter = meter_after(7, quota(waiting=3), OUTAGE)
    assert meter.current == Waiting(reason="service", seconds=41.0)
    assert meter.service == pytest.approx(7)
    assert meter.quota == 0.0
    meter.sample(7.1, WALL, quota=quota(in_flight=1), outage=None)
    assert meter.current is None
