"""The virtual event loop itself, on which other tests rely."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.virtual_time import (
    START,
    WALL_START,
    DeadlockError,
    VirtualClock,
    VirtualLoop,
    run_virtual,
    settle,
    virtual,
)


@virtual
async def test_sleeping_costs_virtual_time_only() -> None:
    """An hour's sleep advances both clocks by an hour and takes no real time."""
    clock = VirtualClock()
    began = time.monotonic()
    await clock.sleep(3600)
    assert clock.monotonic() == pytest.approx(START + 3600)
    assert clock.time() == pytest.approx(WALL_START + 3600)
    assert time.monotonic() - began < 3600


@virtual
async def test_timers_fire_in_order_at_their_times() -> None:
    """Callbacks run at the time they were scheduled for, the earliest first."""
    loop = asyncio.get_running_loop()
    fired: list[tuple[str, float]] = []

    def fire(name: str) -> None:
        fired.append((name, round(loop.time() - START, 6)))

    for name, delay in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        loop.call_later(delay, fire, name)
    await asyncio.sleep(5)
    assert fired == [("a", 1), ("b", 2), ("c", 3)]


@virtual
async def test_asyncio_timeout_follows_the_virtual_clock() -> None:
    """`asyncio.timeout` ends a wait at its virtual deadline."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(90):
            await asyncio.sleep(100)
    assert asyncio.get_running_loop().time() == pytest.approx(START + 90)


def test_a_wait_for_nothing_is_a_deadlock() -> None:
    """Waiting for a future that is never set raises, and the error names the task and the place."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match=r"waits in .*main"):
        run_virtual(main)


@virtual
async def test_threads_are_waited_for_in_real_time() -> None:
    """Work in a thread is awaited without a timer, and virtual time stands still."""
    assert await asyncio.to_thread(lambda: 7) == 7
    assert asyncio.get_running_loop().time() == START


@virtual
async def test_the_wall_clock_can_be_wrong() -> None:
    """`offset` shifts the wall clock and does not change the monotonic one."""
    clock = VirtualClock(offset=-5)
    assert clock.time() == WALL_START - 5
    clock.offset = 5
    assert clock.time() == WALL_START + 5
    assert clock.monotonic() == START


@virtual
async def test_randomness_repeats() -> None:
    """Two clocks with the same seed give the same numbers."""
    assert [VirtualClock(seed=3).random() for _ in range(2)] == [VirtualClock(seed=3).random()] * 2


@virtual
async def test_settle_lets_ready_tasks_run() -> None:
    """`settle` runs what is ready, and no time passes."""
    done = asyncio.Event()
    task = asyncio.create_task(done.wait())
    done.set()
    await settle()
    assert task.done()
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)


@settings(max_examples=5)
@given(seconds=st.floats(min_value=0, max_value=1000))
@virtual
async def test_it_goes_under_given(seconds: float) -> None:
    """A virtual test can take values from hypothesis."""
    await asyncio.sleep(seconds)
    assert asyncio.get_running_loop().time() >= START + seconds - 1e-6
