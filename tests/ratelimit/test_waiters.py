"""Who has the next permit: refused requests first, then by priority, and no class starves."""

import asyncio
import weakref

from iottly_async.ratelimit.waiters import WaiterQueue


class NamedWaiters:
    """A queue of names."""

    def __init__(self) -> None:
        self.queue: WaiterQueue[str] = WaiterQueue()
        self.names: dict[asyncio.Future[str], str] = {}

    def join(
        self,
        name: str,
        priority: int = 0,
        *,
        refused: bool = False,
        deadline: float | None = None,
    ) -> asyncio.Future[str]:
        """Add a waiter."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.names[future] = name
        self.queue.add(future, priority, refused, deadline)
        future.add_done_callback(self.queue.remove)
        return future

    def next(self) -> str | None:
        """Give the next waiter its permit; returns its name."""
        future = self.queue.pop()
        if future is None:
            return None
        future.set_result("go")
        return self.names[future]


async def test_first_in_first_out() -> None:
    """Within a priority waiters go in the order of arrival."""
    waiters = NamedWaiters()
    for name in "abc":
        waiters.join(name)
    assert [waiters.next() for _ in range(4)] == ["a", "b", "c", None]


async def test_the_refused_go_first() -> None:
    """A request that was refused goes before all others."""
    waiters = NamedWaiters()
    waiters.join("a", 9)
    waiters.join("b", refused=True)
    waiters.join("c", refused=True)
    assert [waiters.next() for _ in range(3)] == ["b", "c", "a"]


async def test_priority_passes_ahead_and_does_not_starve() -> None:
    """Every fourth permit goes to the longest wait, whatever its priority."""
    waiters = NamedWaiters()
    for number in range(3):
        waiters.join(f"walk{number}")
    for number in range(9):
        waiters.join(f"click{number}", 10)
    order = [waiters.next() for _ in range(12)]
    assert order[:4] == ["click0", "click1", "click2", "walk0"]
    assert order.index("walk1") == 7
    assert order.index("walk2") == 11
    clicks = [name for name in order if name and name.startswith("click")]
    assert clicks == [f"click{number}" for number in range(9)]


async def test_the_cancelled_are_skipped() -> None:
    """A permit never goes to a waiter that has left."""
    waiters = NamedWaiters()
    futures = [waiters.join(name) for name in "abcde"]
    for future in futures[:2] + futures[3:4]:
        future.cancel()
    await asyncio.sleep(0)
    assert len(waiters.queue) == 2
    assert [waiters.next(), waiters.next(), waiters.next()] == ["c", "e", None]


async def test_the_cancelled_do_not_pile_up() -> None:
    """Waiters that leave before any permit is granted are not kept in memory."""
    queue: WaiterQueue[str] = WaiterQueue()
    kept: weakref.WeakSet[asyncio.Future[str]] = weakref.WeakSet()
    for _ in range(5000):
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        kept.add(future)
        queue.add(future, 0, False, 1000.0)
        future.cancel()
        queue.remove(future)
    del future
    assert len(kept) < 200
    assert len(queue) == 0


async def test_an_empty_queue_keeps_no_waiter() -> None:
    """When all waiters have left, none is kept in memory."""
    queue: WaiterQueue[str] = WaiterQueue()
    futures = [asyncio.get_running_loop().create_future() for _ in range(5000)]
    for future in futures:
        queue.add(future, 0, False, 1000.0)
    kept = weakref.WeakSet(futures)
    for future in futures:
        future.cancel()
        queue.remove(future)
    del future, futures
    assert len(kept) < 200


async def test_how_many_are_ahead() -> None:
    """Refused requests and those of the same or a higher priority are ahead of a newcomer."""
    waiters = NamedWaiters()
    waiters.join("a", 0)
    waiters.join("b", 5)
    waiters.join("c", refused=True)
    assert waiters.queue.ahead(0, refused=False) == 3
    assert waiters.queue.ahead(5, refused=False) == 2
    assert waiters.queue.ahead(7, refused=False) == 1
    assert waiters.queue.ahead(0, refused=True) == 1


async def test_waiters_whose_time_is_up_are_removed() -> None:
    """Waiters whose deadline lies before the next permit are removed, the others stay."""
    waiters = NamedWaiters()
    waiters.join("a", deadline=5.0)
    waiters.join("b", deadline=50.0)
    waiters.join("c")
    assert [waiters.names[future] for future in waiters.queue.expired(10.0)] == ["a"]
    assert waiters.queue.next_deadline() == 50.0
    assert len(waiters.queue) == 2


async def test_a_waiter_leaves_once() -> None:
    """A waiter that leaves twice, or after the queue was cleared, is counted once."""
    queue: WaiterQueue[str] = WaiterQueue()
    futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for future in futures:
        queue.add(future, 0, False, None)
    assert queue.remove(futures[0])
    assert not queue.remove(futures[0])
    assert len(queue) == 2
    assert queue.clear() == futures[1:]
    for future in futures:
        assert not queue.remove(future)
    assert len(queue) == 0
