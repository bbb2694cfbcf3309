"""Leak checks: tasks and sockets that a test left open."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_PATIENCE = 20.0


def sockets() -> set[str]:
    """The sockets that this process has open, by inode; empty on systems without /proc."""
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
    """The unfinished tasks of this loop, without the calling one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def until(
    reached: Callable[[], bool], what: str = "the awaited condition", patience: float = _PATIENCE
) -> None:
    """Run the event loop until ``reached`` is true.

    Raises:
        AssertionError: it is not true after ``patience`` seconds; the text names `what`.
    """
    end = time.perf_counter() + patience  # the loop's time may be virtual
    while not reached():
        if time.perf_counter() > end:
            raise AssertionError(f"{what} did not happen in {patience:g} s")
        await asyncio.sleep(0)


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Assert that the block leaves no task and no socket open, and no error in the event loop.

    What was closed gets some iterations of the loop to disappear. A server in another thread gets
    up to 5 seconds to close its side, which is less than any idle timeout.
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
        # A server in another thread closes its side when it next runs.
        await until(lambda: sockets() <= sockets_before, "the end of all sockets", patience=5.0)
        assert not complaints, complaints
    finally:
        loop.set_exception_handler(previous)
