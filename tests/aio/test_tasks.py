"""The task group: one first error, and no task left behind."""

from __future__ import annotations

import asyncio

import pytest

from iottly_async.aio.tasks import TaskGroup, cancel_and_wait, run_together


async def forever(ended: list[str], name: str) -> None:
    """Run until cancelled; note the name when that happens."""
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def fails(error: Exception) -> None:
    """Raise an error in the next step of the loop."""
    await asyncio.sleep(0)
    raise error


async def test_the_first_error_cancels_the_other_tasks() -> None:
    """The group keeps the first error, calls `on_error` once and takes no more tasks."""
    ended: list[str] = []
    errors: list[BaseException] = []
    first = ValueError("first")
    async with TaskGroup(on_error=errors.append) as tasks:
        tasks.start(forever(ended, "other"))
        tasks.start(fails(first))
        tasks.start(fails(ValueError("second")))
        await tasks.wait()
        assert not tasks.open
        with pytest.raises(ValueError, match="first"):
            await tasks.join()
        assert len(tasks) == 0
    assert ended == ["other"]
    assert errors == [first]


async def test_leaving_the_group_cancels_its_tasks() -> None:
    """At the end of `async with` every task has ended."""
    ended: list[str] = []
    async with TaskGroup() as tasks:
        for name in "ab":
            tasks.start(forever(ended, name))
        await asyncio.sleep(0)
    assert sorted(ended) == ["a", "b"]
    assert not tasks.open
    assert tasks.error is None


async def test_coroutines_that_run_together_all_return() -> None:
    """`run_together` returns once the last coroutine has returned."""
    done: list[int] = []

    async def work(steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        done.append(steps)

    await run_together([work(3), work(1), work(2)])
    assert done == [1, 2, 3]
    await run_together([])


async def test_cancelling_who_runs_coroutines_together_cancels_them() -> None:
    """No coroutine runs on after the task that awaits `run_together` is cancelled."""
    ended: list[str] = []
    running = asyncio.ensure_future(run_together([forever(ended, name) for name in "ab"]))
    for _ in range(3):
        await asyncio.sleep(0)
    await cancel_and_wait([running])
    assert running.cancelled()
    assert sorted(ended) == ["a", "b"]
