"""Real clients and real servers, each a process, with wrong clocks.

All cases run at the same time, because they mostly wait. No test here is about durations.
"""

import asyncio
from collections.abc import Mapping

import pytest

from tests.ratelimit.processes import LIMIT, Outcome, compete

REQUESTS = LIMIT * 9 // 4

ALONE: dict[str, tuple[str, ...]] = {
    "fixed, 5 s ahead": ("--algorithm", "fixed", "--skew", "5"),
    "fixed, 5 s behind": ("--algorithm", "fixed", "--skew", "-5"),
    "sliding, 5 s ahead": ("--algorithm", "sliding", "--skew", "5"),
    "bucket, 5 s behind": ("--algorithm", "bucket", "--skew", "-5"),
}

WITHOUT_REDIS = {f"{count} processes": count for count in (3, 8)}


async def _run_all() -> dict[str, Outcome]:
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(compete(1, requests=REQUESTS, server=server))
            for name, server in ALONE.items()
        }
    async with asyncio.TaskGroup() as group:
        for name, count in WITHOUT_REDIS.items():
            tasks[name] = group.create_task(compete(count, requests=REQUESTS))
    return {name: task.result() for name, task in tasks.items()}


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    """The outcomes of all cases."""
    return asyncio.run(_run_all())


@pytest.mark.parametrize("case", ALONE)
def test_alone_nothing_is_refused(outcomes: Mapping[str, Outcome], case: str) -> None:
    """One process alone on a key is never refused, by any way of counting."""
    assert outcomes[case].refused == 0
    assert outcomes[case].done == REQUESTS


@pytest.mark.parametrize("case", ALONE)
def test_permits_are_granted_in_order(outcomes: Mapping[str, Outcome], case: str) -> None:
    """Permits reach the workers in the order of their numbers, and all are given back."""
    (worker,) = outcomes[case].workers
    assert worker["in_order"]
    assert worker["in_flight"] == 0
    assert worker["source"] == "server"


@pytest.mark.parametrize("case", WITHOUT_REDIS)
def test_processes_without_redis_all_get_through(
    outcomes: Mapping[str, Outcome], case: str
) -> None:
    """Processes that share a key without Redis finish all requests."""
    outcome, count = outcomes[case], WITHOUT_REDIS[case]
    assert outcome.done == outcome.admitted == REQUESTS // count * count
    assert outcome.refused < outcome.admitted
