"""The semaphore with priorities: its order, its limit, and that no slot is ever lost."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from iottly_async.walk.strategy.concurrency import PrioritySemaphore, request_limit
from tests.support.virtual_time import run_virtual, settle, virtual


@virtual
async def test_the_waiter_with_the_lowest_priority_number_is_next() -> None:
    """Waiters of equal priority get their slots in the order in which they came."""
    semaphore = PrioritySemaphore(lambda: 1)
    granted: list[str] = []

    async def enter(name: str, priority: int) -> None:
        await semaphore.acquire(priority)
        granted.append(name)

    await semaphore.acquire()
    tasks = [
        asyncio.ensure_future(enter(name, priority))
        for name, priority in [("c", 2), ("a", -1), ("b", 2), ("d", 7)]
    ]
    for _ in tasks:
        await settle()
        semaphore.release()
    await settle()
    assert granted == ["a", "c", "b", "d"]


@given(st.integers(0, 2**16), st.integers(1, 5))
def test_no_slot_is_lost_to_cancellation(seed: int, slots: int) -> None:
    """Whenever waiters are cancelled, all others get a slot, and never more than there are."""

    async def main() -> None:
        chance = random.Random(seed)
        semaphore = PrioritySemaphore(lambda: slots)
        inside = most = through = 0

        async def hold_a_slot() -> None:
            nonlocal inside, most, through
            await semaphore.acquire(chance.randrange(3))
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(chance.choice([0.0, 0.1]))
            finally:
                inside -= 1
                semaphore.release()
            through += 1

        tasks = [asyncio.ensure_future(hold_a_slot()) for _ in range(40)]
        spared = 0
        for task in tasks:
            if chance.random() < 0.5:
                await asyncio.sleep(chance.choice([0.0, 0.0, 0.05]))
                task.cancel()
            else:
                spared += 1
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= slots
        assert through >= spared
        await asyncio.wait_for(semaphore.acquire(), 1)

    run_virtual(main)


@virtual
async def test_a_limit_that_rises_lets_more_in() -> None:
    """The next release grants as many slots as the new limit has."""
    limit = 1
    semaphore = PrioritySemaphore(lambda: limit)
    await semaphore.acquire()
    waiting = [asyncio.ensure_future(semaphore.acquire()) for _ in range(5)]
    await settle()
    limit = 3
    semaphore.release()
    await settle()
    assert [task.done() for task in waiting] == [True, True, True, False, False]
    for task in waiting:
        task.cancel()


def test_the_capacity_caps_the_concurrency() -> None:
    """The limit is the lesser of the two, and at least 1; None is no limit."""
    assert request_limit(8, None)() == 8
    assert [request_limit(8, lambda fed=fed: fed)() for fed in (None, 20, 5, 1, 0, -3)] == [  # type: ignore[misc]
        8,
        8,
        5,
        1,
        1,
        1,
    ]
