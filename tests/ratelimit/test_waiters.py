"""Who is next: the refused first, then by priority, and nobody starves."""

import asyncio
import weakref

from iottly_async.ratelimit.waiters import WaiterQueue


class Line:
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
        """Let somebody stand in line."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.names[future] = name
        lane = self.queue.add(future, priority, refused, deadline)
        future.add_done_callback(lambda f: self.queue.forget(lane) if f.cancelled() else None)
        return future

    def next(self) -> str | None:
        """Let the next one go."""
        future = self.queue.pop()
        if future is None:
            return None
        future.set_result("go")
        return self.names[future]


async def test_first_in_first_out() -> None:
    """Within a priority nobody overtakes."""
    line = Line()
    for name in "abc":
        line.join(name)
    assert [line.next() for _ in range(4)] == ["a", "b", "c", None]


async def test_the_refused_go_first() -> None:
    """Whoever was told 429 had its turn already, and is before everybody."""
    line = Line()
    line.join("a", 9)
    line.join("b", refused=True)
    line.join("c", refused=True)
    assert [line.next() for _ in range(3)] == ["b", "c", "a"]


async def test_priority_passes_ahead_and_does_not_starve() -> None:
    """Of four turns one goes to the longest wait, whatever its priority."""
    line = Line()
    for number in range(3):
        line.join(f"walk{number}")
    for number in range(9):
        line.join(f"click{number}", 10)
    order = [line.next() for _ in range(12)]
    assert order[:4] == ["click0", "click1", "click2", "walk0"]
    assert order.index("walk1") == 7
    assert order.index("walk2") == 11
    clicks = [name for name in order if name and name.startswith("click")]
    assert clicks == [f"click{number}" for number in range(9)]


async def test_the_cancelled_are_skipped() -> None:
    """A turn never goes to somebody who gave up."""
    line = Line()
    futures = [line.join(name) for name in "abcde"]
    for future in futures[:2] + futures[3:4]:
        future.cancel()
    await asyncio.sleep(0)
    assert line.queue.live == 2
    assert [line.next(), line.next(), line.next()] == ["c", "e", None]


async def test_the_cancelled_do_not_pile_up() -> None:
    """Many that gave up, before anybody has a turn, leave no litter behind."""
    queue: WaiterQueue[str] = WaiterQueue()
    kept: weakref.WeakSet[asyncio.Future[str]] = weakref.WeakSet()
    for _ in range(5000):
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        kept.add(future)
        lane = queue.add(future, 0, False, 1000.0)
        future.cancel()
        queue.forget(lane)
    del future
    assert len(kept) < 200
    assert queue.live == 0


async def test_a_queue_that_all_left_keeps_nobody() -> None:
    """When all have given up, nothing of them is left, with or without a deadline."""
    queue: WaiterQueue[str] = WaiterQueue()
    futures = [asyncio.get_running_loop().create_future() for _ in range(5000)]
    lanes = [queue.add(future, 0, False, 1000.0) for future in futures]
    kept = weakref.WeakSet(futures)
    for future, lane in zip(futures, lanes, strict=True):
        future.cancel()
        queue.forget(lane)
    del future, futures
    assert len(kept) < 200


async def test_how_many_are_ahead() -> None:
    """A newcomer counts the refused and those of its priority or a higher one."""
    line = Line()
    line.join("a", 0)
    line.join("b", 5)
    line.join("c", refused=True)
    assert line.queue.ahead(0, refused=False) == 3
    assert line.queue.ahead(5, refused=False) == 2
    assert line.queue.ahead(7, refused=False) == 1
    assert line.queue.ahead(0, refused=True) == 1


async def test_deadlines_before_the_next_turn_are_given_up() -> None:
    """Those whose time ends before there can be a turn are taken out, the others stay."""
    line = Line()
    line.join("a", deadline=5.0)
    line.join("b", deadline=50.0)
    line.join("c")
    assert [line.names[future] for future in line.queue.expired(10.0)] == ["a"]
    assert line.queue.next_deadline() == 50.0
    assert line.queue.live == 2
