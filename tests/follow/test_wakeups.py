"""When a wake-up is answered by a poll."""

from __future__ import annotations

import pytest

from iottly_async.follow.wakeups import WakeUps


def test_a_bell_that_never_stops_puts_nothing_off() -> None:
    """The first ring's look stays where it was, however many follow."""
    rings = WakeUps(4.0)
    for n in range(100):
        rings.add(1.0 + n / 10)
    assert rings.due == 5.0
    rings.poll_begins(5.0)
    assert rings.due == 5.5


def test_without_settle_a_ring_is_due_at_once() -> None:
    """WakeUps during a look are one look more."""
    rings = WakeUps(0.0)
    rings.add(1.0)
    rings.poll_begins(1.0)
    rings.add(1.1)
    rings.add(1.2)
    assert rings.due == 1.2
    rings.poll_begins(1.3)
    assert rings.due is None


def test_a_look_that_brought_a_message_a_ring_is_not_made_again() -> None:
    """Two rings, one message: another look; with the second, only that of a ring meanwhile."""
    rings = WakeUps(0.0)
    rings.add(1.0)
    rings.add(1.0)
    rings.poll_begins(1.0)
    rings.poll_ended(1.1, doubt=0.5, found=1, newest=0.99)
    assert rings.due == pytest.approx(1.11)
    rings.poll_begins(1.11)
    rings.add(1.12)
    rings.poll_ended(1.2, doubt=0.5, found=2, newest=1.0)
    assert rings.due == 1.12
    rings.poll_begins(1.2)
    rings.poll_ended(1.3, doubt=0.5, found=1, newest=1.11)
    assert rings.due is None


def test_a_look_that_brought_an_older_message_is_made_again() -> None:
    """One that nobody rang for does not answer the ring of the next."""
    rings = WakeUps(0.0)
    rings.add(9.0)
    rings.poll_begins(9.0)
    rings.poll_ended(9.1, doubt=0.5, found=1, newest=2.0)
    assert rings.due == pytest.approx(9.11)


def test_a_look_that_may_have_stopped_short_is_made_again() -> None:
    """Until a look began surely after the ring, others follow; a few, and then no more."""
    rings = WakeUps(0.0)
    rings.add(1.0)
    found: list[float | None] = []
    now = 1.0
    for _ in range(3):
        rings.poll_begins(now)
        rings.poll_ended(now, doubt=0.05)
        found.append(rings.due)
        now = rings.due or now
    assert found[:2] == pytest.approx([1.01, 1.11])
    assert found[2] is None
    rings.add(9.0)
    for _ in range(5):
        rings.poll_begins(9.0)
        rings.poll_ended(9.0, doubt=0.05)
    assert rings.due is None
