"""When a wake-up is answered by a poll."""

from __future__ import annotations

import pytest

from iottly_async.follow.wakeups import WakeUps


def test_wakeups_without_end_delay_no_poll() -> None:
    """The poll for the first wake-up keeps its time, however many follow."""
    wakeups = WakeUps(4.0)
    for n in range(100):
        wakeups.add(1.0 + n / 10)
    assert wakeups.due == 5.0
    wakeups.poll_begins(5.0)
    assert wakeups.due == 5.5


def test_without_settle_a_wakeup_is_due_at_once() -> None:
    """All wake-ups during a poll are answered by one more poll."""
    wakeups = WakeUps(0.0)
    wakeups.add(1.0)
    wakeups.poll_begins(1.0)
    wakeups.add(1.1)
    wakeups.add(1.2)
    assert wakeups.due == 1.2
    wakeups.poll_begins(1.3)
    assert wakeups.due is None


def test_a_poll_with_a_message_for_each_wakeup_is_not_repeated() -> None:
    """Two wake-ups and one message cause a further poll, two messages only that for a later one."""
    wakeups = WakeUps(0.0)
    wakeups.add(1.0)
    wakeups.add(1.0)
    wakeups.poll_begins(1.0)
    wakeups.poll_ended(1.1, doubt=0.5, found=1, newest=0.99)
    assert wakeups.due == pytest.approx(1.11)
    wakeups.poll_begins(1.11)
    wakeups.add(1.12)
    wakeups.poll_ended(1.2, doubt=0.5, found=2, newest=1.0)
    assert wakeups.due == 1.12
    wakeups.poll_begins(1.2)
    wakeups.poll_ended(1.3, doubt=0.5, found=1, newest=1.11)
    assert wakeups.due is None


def test_a_poll_that_found_an_older_message_is_repeated() -> None:
    """A message from long before the wake-up does not answer it."""
    wakeups = WakeUps(0.0)
    wakeups.add(9.0)
    wakeups.poll_begins(9.0)
    wakeups.poll_ended(9.1, doubt=0.5, found=1, newest=2.0)
    assert wakeups.due == pytest.approx(9.11)


def test_a_poll_that_may_have_been_too_early_is_repeated() -> None:
    """It is repeated until one surely began after the wake-up, at most four times."""
    wakeups = WakeUps(0.0)
    wakeups.add(1.0)
    found: list[float | None] = []
    now = 1.0
    for _ in range(3):
        wakeups.poll_begins(now)
        wakeups.poll_ended(now, doubt=0.05)
        found.append(wakeups.due)
        now = wakeups.due or now
    assert found[:2] == pytest.approx([1.01, 1.11])
    assert found[2] is None
    wakeups.add(9.0)
    for _ in range(5):
        wakeups.poll_begins(9.0)
        wakeups.poll_ended(9.0, doubt=0.05)
    assert wakeups.due is None
