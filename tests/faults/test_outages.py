"""Work that goes by itself waits out an outage: no device fails, no row is lost or repeated (D18).

In virtual time the service is away for a minute or an hour. In real time its process is killed and
started again on its port; for some kinds of work, and for all in a long run.
"""

from __future__ import annotations

import logging

import pytest

from iottly_async.emulator.outage import OutageKind
from tests.support.outage_trial import (
    WORK,
    OutageResult,
    fleet_of,
    in_process,
    in_virtual_time,
    other_process,
    outage_trial,
)
from tests.support.scale import LONG

LATENCY = 0.05
MOST_REQUESTS = 20
LONGEST_WAIT = 16.0

each_work = pytest.mark.parametrize("work", WORK)


def away(
    work: str, *, kind: OutageKind = "refuse", concurrency: int, seconds: float
) -> OutageResult:
    """Do work in virtual time while the service is away for some seconds."""

    async def main() -> OutageResult:
        async with in_process(kind, latency=LATENCY, **fleet_of(work, concurrency)) as service:
            return await outage_trial(
                work, service, concurrency=concurrency, seconds=seconds, limit=seconds + 120
            )

    return in_virtual_time(main)


def assert_survived(result: OutageResult) -> None:
    """Assert that nothing failed, and that rows came soon after the service was back."""
    assert (result.failed, result.lost, result.repeated) == (0, 0, 0)
    assert result.flowing_after is not None
    assert result.flowing_after <= LONGEST_WAIT


@each_work
def test_a_minute_without_the_service(work: str) -> None:
    """With 32 requests at once, a minute's outage costs 20 requests at most and no row."""
    result = away(work, concurrency=32, seconds=60)
    assert_survived(result)
    assert 1 <= result.requests <= MOST_REQUESTS


@pytest.mark.parametrize("concurrency", [1, 100])
def test_the_concurrency_makes_no_difference(concurrency: int) -> None:
    """One request at a time probes for all work, however much there is."""
    result = away("many", concurrency=concurrency, seconds=60)
    assert_survived(result)
    assert 1 <= result.requests <= MOST_REQUESTS


@pytest.mark.parametrize("kind", ["reset", "html", "hang"])
def test_every_way_to_be_away(kind: OutageKind) -> None:
    """Connections that are reset, a proxy's pages and silence are waited out in the same way."""
    result = away("many", kind=kind, concurrency=8, seconds=60)
    assert_survived(result)
    assert 1 <= result.requests <= MOST_REQUESTS


@pytest.mark.parametrize("seconds", [1, 10])
def test_a_short_outage(seconds: int) -> None:
    """After a short outage, rows arrive again within as many seconds and a few."""
    result = away("walk", concurrency=8, seconds=seconds)
    assert_survived(result)
    assert result.flowing_after is not None
    assert result.flowing_after <= seconds


def test_an_hour_without_the_service() -> None:
    """A follower waits without an end, and asks four times a minute whether the service is back."""
    result = away("follow", concurrency=8, seconds=3600)
    assert_survived(result)
    assert result.requests <= 4 * 60 + MOST_REQUESTS


def test_an_hour_is_too_long_for_a_walk() -> None:
    """A walk is given up after `Config.patience`, five minutes."""
    result = away("walk", concurrency=8, seconds=3600)
    assert result.failed == 1
    assert result.lost > 0
    assert result.repeated == 0


@pytest.mark.parametrize("work", WORK if LONG else ["walk", "many", "job that follows"])
async def test_a_service_that_is_killed(work: str, caplog: pytest.LogCaptureFixture) -> None:
    """A killed process that starts again on its port costs no row, and is told in the log."""
    caplog.set_level(logging.INFO, "iottly_async.outage")
    with other_process(latency=LATENCY, **fleet_of(work, 8)) as service:
        result = await outage_trial(work, service, concurrency=8, seconds=0, limit=60)
    assert (result.failed, result.lost, result.repeated) == (0, 0, 0)
    assert result.later_requests <= MOST_REQUESTS
    told = [one for one in caplog.records if one.name == "iottly_async.outage"]
    assert (told[0].levelname, told[-1].levelname) == ("WARNING", "INFO")
    assert "the service is back after" in told[-1].getMessage()
