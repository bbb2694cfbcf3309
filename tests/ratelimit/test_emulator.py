"""Whole sessions against the emulator's rate limits, which share no code with the limiter."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.emulator.settings import Algorithm

LIMIT, WINDOW = 50, 2

CASES: dict[str, tuple[Algorithm, float]] = {
    "fixed": ("fixed", 0.0),
    "fixed, 5 s ahead": ("fixed", 5.0),
    "sliding": ("sliding", 0.0),
    "bucket": ("bucket", -5.0),
}


async def _statuses(algorithm: Algorithm, ahead: float) -> Counter[int | None]:
    """The statuses of two windows and a half of requests, thirty at a time."""
    async with Emulator(
        devices=2,
        messages=20,
        rate_limit=LIMIT,
        rate_window=WINDOW,
        rate_algorithm=algorithm,
        clock_offset=ahead,
    ) as emulator:
        config = Config(base_url=emulator.base_url)
        slots = asyncio.Semaphore(30)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:

            async def ping() -> None:
                async with slots:
                    await session.ping()

            await asyncio.gather(*(ping() for _ in range(LIMIT * 5 // 2)))
            assert session.quota.limit == LIMIT
        return Counter(record.status for record in emulator.requests)


@pytest.fixture(scope="module")
def statuses() -> Mapping[str, Counter[int | None]]:
    """The statuses of all cases, which run at the same time."""

    async def main() -> dict[str, Counter[int | None]]:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(_statuses(*case)) for name, case in CASES.items()}
        return {name: task.result() for name, task in tasks.items()}

    return asyncio.run(main())


@pytest.mark.parametrize("case", CASES)
def test_a_session_is_never_refused(statuses: Mapping[str, Counter[int | None]], case: str) -> None:
    """Every request of a session alone on its key is answered 200 at the first attempt."""
    assert statuses[case] == Counter({200: LIMIT * 5 // 2})
