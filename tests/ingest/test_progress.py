"""The estimates of a run: its speed and its time to go."""

from __future__ import annotations

from typing import Final

import pytest

from iottly_async.ingest import TimeShares
from iottly_async.ingest.progress import DeviceProgress, Meter, Progress
from iottly_async.models import Cursor, Message, MessageBatch, Quota
from iottly_async.models._time import from_epoch_ms

DAY: Final = 86_400_000  # milliseconds


class Clock:
    """A clock that the test sets, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def quota(*, waiting: int, window: float | None = 60.0, limit: int | None = 60) -> Quota:
    """A quota of 60 requests a window."""
    return Quota(
        limit=limit,
        remaining=0,
        resets_at=None,
        waiting=waiting,
        in_flight=0,
        refusals=0,
        source="server",
        window=window,
    )


def snapshot(meter: Meter, quota: Quota) -> Progress:
    """The run's progress now."""
    return meter.snapshot(requests=0, quota=quota, shares=TimeShares())


@pytest.mark.parametrize("window", [20.0, 60.0])
def test_a_quota_that_is_spent_in_bursts_gives_an_even_speed(window: float) -> None:
    """6,000 rows come in the first 5 seconds of each window, and then none until the next."""
    clock = Clock()
    meter = Meter(now=clock, begun=0.0)
    speeds = []
    for step in range(1, 4 * 5 * 60):
        clock.now = step / 4
        within = clock.now % window
        if within <= 5:
            meter.rows += 300
        speeds.append(snapshot(meter, quota(waiting=int(within >= 5), window=window)))
    expected = meter.rows / clock.now
    late = [each.rows_per_second for each in speeds if each.seconds > 5]
    assert min(late) > 0.8 * expected
    assert max(late) < 1.2 * expected


def test_without_a_quota_the_speed_is_that_of_the_last_ten_seconds() -> None:
    """A job that has become slow says so soon."""
    clock = Clock()
    meter = Meter(now=clock, begun=0.0)
    unlimited = quota(waiting=0, window=None, limit=None)
    for step in range(1, 400):
        clock.now = step / 4
        meter.rows += 100 if clock.now <= 50 else 1
        shown = snapshot(meter, unlimited)
    assert shown.rows_per_second == pytest.approx(4, rel=0.1)


def batch(device_id: str, *, until: int, rows: int) -> MessageBatch:
    """A batch of a walk over 100 days, of which the first `until` are done."""
    cursor = Cursor(
        project_id="p",
        device_id=device_id,
        type="all",
        order="asc",
        start=None,
        end=100 * DAY,
        remaining=((until * DAY, 100 * DAY),),
        pinned_end=100 * DAY,
        count=rows,
        newest=until * DAY - 1,
    )
    message = Message(device_id=device_id, timestamp=from_epoch_ms(0), payload_json=b"{}")
    return MessageBatch(messages=[message], cursor=cursor)


def after_five_days(data_end: int | None) -> Meter:
    """A run of two devices, of which one has 500 rows in its first 5 days."""
    meter = Meter(now=Clock(), begun=-1.0)
    devices = {device_id: DeviceProgress(device_id) for device_id in ("a", "b")}
    meter.begin(devices, start=None, end=100 * DAY, server_ahead=0.0, data_end=data_end)
    one = batch("a", until=5, rows=500)
    meter.fetched(one)
    meter.stored("a", one.cursor, rows=500, rejected=0)
    return meter


def test_the_time_to_go_is_that_of_data_and_not_of_empty_days() -> None:
    """The messages of one device end after 10 days, so those of both are expected to."""
    shown = snapshot(after_five_days(10 * DAY), quota(waiting=0))
    assert shown.share == pytest.approx(500 / 2000)
    assert shown.seconds_left == pytest.approx(1500 / 500)


@pytest.mark.parametrize("known", [True, False])
def test_messages_beyond_the_end_of_one_device_are_expected_to_the_end_of_the_range(
    known: bool,
) -> None:
    """A device that has ended long ago says nothing of the others."""
    meter = after_five_days(10 * DAY if known else None)
    one = batch("b", until=20, rows=2000)
    meter.fetched(one)
    meter.stored("b", one.cursor, rows=2000, rejected=0)
    assert snapshot(meter, quota(waiting=0)).share == pytest.approx(2500 / 20_000)
