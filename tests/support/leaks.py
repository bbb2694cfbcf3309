"""What a test left behind: tasks and sockets beyond those that were there before it."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_PATIENCE = 20.0


def sockets() -> set[str]:
    """The sockets that this process holds open, by inode; empty where that cannot be told."""
    if not _DESCRIPTORS.is_dir():
        return set()
    found = set()
    for entry in _DESCRIPTORS.iterdir():
        try:
            name = str(entry.readlink())
        except OSError:
            continue
        if name.startswith("socket:"):
            found.add(name)
    return found


def tasks() -> set["asyncio.Task[object]"]:
    """The unfinished tasks of this loop but the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def until(
    reached: Callable[[], bool], what: str = "what was waited for", patience: float = _PATIENCE
) -> None:
    """Let the loop turn until something is so.

    Raises:
        AssertionError: it is still not so after a long while; names `what`.
    """
    end = time.perf_counter() + patience  # a loop's own time may be virtual, and stand still
    while not reached():
        if time.perf_counter() > end:
            raise AssertionError(f"{what} did not come about")
        await asyncio.sleep(0)


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Holds that whatever is begun within it has ended: no task and no socket more than before.

    What was closed is given some turns of the loop to be gone, and a server in another
    thread its turn; not the time after which idle or silent connections are given up.
    """
    tasks_before, sockets_before = tasks(), sockets()
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    previous = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    try:
        yield
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        for _ in range(20):
            await asyncio.sleep(0)
        assert tasks() <= tasks_before, f"left behind: {tasks() - tasks_before}"
        # A server in a thread of its own sees the end of a connection when it has its turn.
        await until(lambda: sockets() <= sockets_before, "the end of all sockets", patience=5.0)
        assert not complaints, complaints
    finally:
        loop.set_exception_handler(previous)
