"""When a device is expected to send next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.follow.traffic import Traffic


def test_a_regular_sender_is_polled_after_its_time() -> None:
    """A device that sends every five minutes is polled `goal` seconds after its next message."""
    traffic = Traffic(0.0, 1.0)
    traffic.observe(300.0 * n for n in range(1, 6))
    traffic.seen_until = 1501.0
    assert traffic.next_poll(2.0) == 1802.0


def test_a_busy_sender_is_polled_soon() -> None:
    """A device that sends ten messages a second is polled within the goal."""
    traffic = Traffic(0.0, 1.0)
    traffic.observe([300.0, 600.0, *(900.0 + n / 10 for n in range(100))])
    traffic.seen_until = 910.0
    assert traffic.next_poll(1.0) == 911.0


def test_a_burst_does_not_hide_the_rhythm() -> None:
    """Bursts every five minutes count as one message each, once they have ended."""
    traffic = Traffic(0.0, 1.0)
    for n in range(1, 20):
        traffic.observe([300.0 * n, 300.0 * n + 0.1, 300.0 * n + 0.2])
    traffic.seen_until = 5703.0
    assert traffic.next_poll(1.0) == pytest.approx(6001.0, abs=0.5)


def test_the_pause_doubles_for_a_device_that_is_overdue() -> None:
    """A device that is silent for longer than ever is polled after as long as it is overdue."""
    traffic = Traffic(0.0, 1.0)
    traffic.observe([0.0, 10.0, 20.0])
    traffic.seen_until = 31.0
    assert traffic.next_poll(1.0) == 32.0
    traffic.seen_until = 130.0
    assert traffic.next_poll(1.0) == 230.0


def test_the_rhythm_of_a_device() -> None:
    """Devices are steady, irregular, or silent: these have stopped, or never sent."""
    steady, random, gone = (Traffic(0.0, 1.0) for _ in range(3))
    steady.observe(10.0 * n for n in range(9))
    random.observe(float(n * n) for n in range(2, 11))
    gone.observe(10.0 * n for n in range(9))
    gone.seen_until = 200.0
    rhythms = [each.rhythm for each in (steady, random, gone, Traffic(0.0, 1.0))]
    assert rhythms == ["steady", "irregular", "silent", "silent"]


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=16), st.floats(0.1, 100.0))
def test_the_mean_age_reaches_the_goal_at_the_next_poll(gaps: list[float], goal: float) -> None:
    """At the returned moment the mean of max(0, time - interval) is the goal."""
    traffic = Traffic(0.0, 1.0)
    at = 0.0
    traffic.observe([at])
    for each in gaps:
        at += each
        traffic.observe([at])
    traffic.seen_until = at
    age = sum(max(0.0, traffic.next_poll(goal) - at - each) for each in gaps) / len(gaps)
    assert age == pytest.approx(goal, rel=1e-3, abs=1e-3)
