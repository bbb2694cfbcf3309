"""Processes that share a quota through a real Redis, and what happens if Redis fails."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

import iottly_async
from benchmarks.limiter_server import quota_server
from iottly_async import Config, IottlySession
from iottly_async.errors import ConfigurationError, RateLimitedError, SessionClosedError
from iottly_async.ratelimit import Permit
from iottly_async.ratelimit.distributed.limiter import RedisLimiter
from tests.ratelimit.processes import LIMIT, WINDOW, Outcome, compete, start_worker
from tests.support.redis_server import RedisServer, any_redis, redis_server, redis_url
from tests.support.virtual_time import settle

__all__ = ["any_redis", "redis_server", "redis_url"]

REQUESTS = LIMIT * 3 // 2


def told(remaining: int, *, reset: int = 60, limit: int = 100) -> dict[str, str]:
    """The header fields of an answer; `reset` in delta seconds."""
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(reset),
    }


@asynccontextmanager
async def limiters(url: str, count: int = 1, **options: float) -> AsyncIterator[list[RedisLimiter]]:
    """Limiters that share one quota, as those of several processes do."""
    made = [RedisLimiter(url, key="test", timeout=options.get("timeout", 5)) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            await one.aclose()


async def begin(one: RedisLimiter, remaining: int) -> None:
    """Send the first request, whose answer shows the quota."""
    one.answered(await one.acquire(), 200, told(remaining))
    await asyncio.wait_for(one.acquire(), 5)  # leased after the report has arrived


CASES = {
    "3 processes": (3, (), ()),
    "8 processes": (8, (), ()),
    "clocks 5 s off": (2, ("--ahead", "5"), ("--skew", "-5")),
}


@pytest.fixture(scope="module")
def outcomes(any_redis: str) -> Mapping[str, Outcome]:
    """The outcomes of processes that share a quota; all cases run at the same time."""

    async def main() -> dict[str, Outcome]:
        async with asyncio.TaskGroup() as group:
            tasks = {}
            for name, (count, worker, server) in CASES.items():
                mine = ("--redis", any_redis, "--key", name, *worker)
                running = compete(count, *mine, requests=REQUESTS, server=server)
                tasks[name] = group.create_task(running)
        return {name: task.result() for name, task in tasks.items()}

    return asyncio.run(main())


@pytest.mark.parametrize("case", CASES)
def test_processes_are_never_refused(outcomes: Mapping[str, Outcome], case: str) -> None:
    """Processes that share a key are never refused, also with wrong clocks."""
    outcome, count = outcomes[case], CASES[case][0]
    assert outcome.refused == 0
    assert outcome.done == outcome.admitted == REQUESTS // count * count
    assert all(worker["source"] == "redis" for worker in outcome.workers)


@pytest.mark.parametrize("case", CASES)
def test_processes_give_back_all_permits(outcomes: Mapping[str, Outcome], case: str) -> None:
    """At the end nothing is in flight, and each worker had its permits in the order of asking."""
    assert all(worker["in_flight"] == 0 for worker in outcomes[case].workers)
    assert all(worker["in_order"] for worker in outcomes[case].workers)


def test_permits_of_a_killed_process_come_back(redis_url: str) -> None:
    """The permits of a killed process are free again after the window."""

    async def main() -> Outcome:
        with quota_server("--limit", str(LIMIT), "--window", str(WINDOW)) as base:
            async with limiters(redis_url) as (one,):
                await begin(one, LIMIT)
                held = ("--redis", redis_url, "--hold", "--requests", str(LIMIT // 2))
                holder = await start_worker(base, *held)
                assert holder.stdout is not None
                assert await holder.stdout.readline() == b"holding\n"
                holder.kill()
                await holder.wait()
        return await compete(1, "--redis", redis_url, requests=LIMIT)

    outcome = asyncio.run(main())
    assert outcome.done == LIMIT


async def test_all_share_what_remains(redis_url: str) -> None:
    """All limiters together hold no more permits than the server has left."""
    async with limiters(redis_url, 3) as (one, two, three):
        await begin(one, 20)
        tasks = [
            asyncio.create_task(limiter.acquire())
            for limiter in (one, two, three)
            for _ in range(20)
        ]
        done, waiting = await asyncio.wait(tasks, timeout=0.5)
        assert len(done) == 19
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_a_permit_given_back_goes_to_another_process(redis_url: str) -> None:
    """An unused permit is leased again, without waiting for the next window."""
    async with limiters(redis_url, 2) as (one, other):
        await begin(one, 3)
        held = [await one.acquire() for _ in range(2)]
        waiter = asyncio.create_task(other.acquire())
        await asyncio.sleep(0)
        one.unused(held[0])
        assert isinstance(await asyncio.wait_for(waiter, 5), Permit)


async def test_cancelled_waiters_hold_nothing(redis_url: str) -> None:
    """Permits that were leased for cancelled tasks come back."""
    async with limiters(redis_url) as (one,):
        await begin(one, 50)
        tasks = [asyncio.create_task(one.acquire()) for _ in range(40)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        async with asyncio.timeout(5):
            for _ in range(49):
                await one.acquire()


async def test_a_permit_too_late_fails_at_once(redis_url: str) -> None:
    """If the next permit comes after the deadline, the error says when."""
    async with limiters(redis_url) as (one,):
        await begin(one, 1)
        loop = asyncio.get_running_loop()
        for _ in range(2):  # Redis says so the first time; it is known here the second time
            with pytest.raises(RateLimitedError) as caught:
                await one.acquire(deadline=loop.time() + 5)
            assert caught.value.retry_after is not None
            assert caught.value.retry_after > 5


async def test_the_quota_is_shown(redis_url: str) -> None:
    """The snapshot says what all processes have left, and that it comes from Redis."""
    async with limiters(redis_url) as (one,):
        await begin(one, 42)
        quota = one.quota()
        assert (quota.limit, quota.remaining, quota.source) == (100, 41, "redis")
        assert (quota.in_flight, quota.waiting, quota.refusals) == (1, 0, 0)
        assert quota.resets_at is not None


async def test_a_flushed_script_cache_is_filled_again(redis_url: str) -> None:
    """If Redis has lost the script, it is loaded again."""
    async with limiters(redis_url) as (one,):
        await begin(one, 50)
        with Redis.from_url(redis_url) as client:
            client.script_flush()
        await asyncio.wait_for(one.acquire(), 5)
        assert one.quota().source == "redis"


async def test_without_redis_the_headers_are_enough(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """If Redis is killed, requests go on by headers, and one warning says so."""
    async with limiters(redis_server.url) as (one,):
        await begin(one, 1)
        waiter = asyncio.create_task(one.acquire())
        await asyncio.sleep(0)
        with caplog.at_level(logging.WARNING, "iottly_async"):
            redis_server.kill()
            another = asyncio.create_task(one.acquire())
            done, _ = await asyncio.wait(
                [waiter, another], timeout=10, return_when=asyncio.FIRST_COMPLETED
            )
            (first,) = done
            one.answered(await first, 200, told(70))
            async with asyncio.timeout(10):
                await asyncio.gather(waiter, another, *(one.acquire() for _ in range(30)))
        assert one.quota().source == "server"
        warnings = [record.message for record in caplog.records if "gone" in record.message]
        assert len(warnings) == 1
        assert "127.0.0.1" not in warnings[0]


async def test_redis_that_is_back_is_used_again(redis_server: RedisServer) -> None:
    """After a restart without data the quota is shared again."""
    async with limiters(redis_server.url) as (one,):
        await begin(one, 50)
        redis_server.kill()
        one.answered(await asyncio.wait_for(one.acquire(), 10), 200, told(48))
        assert one.quota().source == "server"
        redis_server.start()
        async with asyncio.timeout(20):
            while one.quota().source != "redis":
                permit = await one.acquire()
                one.answered(permit, 200, told(47))
                await asyncio.sleep(0.05)
            one.answered(await one.acquire(), 200, told(40))


async def test_a_slow_redis_counts_as_gone(redis_server: RedisServer) -> None:
    """A Redis that does not answer within the timeout delays no request for longer."""
    async with limiters(redis_server.url, timeout=0.2) as (one,):
        await begin(one, 50)
        redis_server.freeze()
        permit = await asyncio.wait_for(one.acquire(), 10)
        one.answered(permit, 200, told(48))
        assert one.quota().source == "server"
        redis_server.thaw()
        async with asyncio.timeout(20):
            while one.quota().source != "redis":
                one.answered(await one.acquire(), 200, told(47))
                await asyncio.sleep(0.05)


async def test_redis_that_never_was_there(redis_server: RedisServer) -> None:
    """A limiter whose Redis is not there from the start works by headers alone."""
    redis_server.kill()
    async with limiters(redis_server.url) as (one,):
        one.answered(await asyncio.wait_for(one.acquire(), 10), 200, told(48))
        await asyncio.wait_for(asyncio.gather(*(one.acquire() for _ in range(20))), 5)
        assert one.quota().source == "server"


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
async def test_a_redis_that_refuses_the_password_is_an_error(
    redis_server: RedisServer, login: str
) -> None:
    """A wrong password is an error for all waiters; it says what to do and hides the password."""
    with Redis.from_url(redis_server.url) as client:
        client.config_set("requirepass", "right")
    async with limiters(redis_server.url.replace("//", "//" + login)) as (one,):
        waiting = [asyncio.create_task(one.acquire()) for _ in range(3)]
        await asyncio.wait(waiting, timeout=10)
        for task in waiting:
            with pytest.raises(ConfigurationError, match="user and password") as caught:
                await task
            assert "wrong" not in str(caught.value)
        assert one.quota().waiting == 0


async def test_closing_gives_back_permits_of_a_call_in_flight(redis_server: RedisServer) -> None:
    """Permits that are leased while a limiter closes are free for other processes at once."""
    async with limiters(redis_server.url, 2) as (one, other):
        await begin(one, 21)
        redis_server.freeze()
        waiting = [asyncio.create_task(one.acquire()) for _ in range(20)]
        await settle(30)  # the call is on its way
        closing = asyncio.create_task(one.aclose())
        await settle(30)
        redis_server.thaw()
        await asyncio.wait([closing, *waiting])
        async with asyncio.timeout(5):
            for _ in range(20):
                await other.acquire()


async def test_closing_ends_all_waits(redis_url: str) -> None:
    """Closing ends all waits with an error, and a closed limiter grants no permit."""
    one = RedisLimiter(redis_url, key="test", timeout=5)
    await begin(one, 1)
    waiter = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)
    await one.aclose()
    with pytest.raises(SessionClosedError):
        await waiter
    with pytest.raises(SessionClosedError):
        await one.acquire()


def test_one_loop_after_another(redis_url: str) -> None:
    """A limiter works in the next event loop, with new connections."""
    one = RedisLimiter(redis_url, key="test", timeout=5)

    async def use(remaining: int) -> None:
        async with one:
            for left in range(remaining, remaining - 3, -1):
                one.answered(await one.acquire(), 200, told(left))

    asyncio.run(use(50))
    asyncio.run(use(40))
    assert one.quota().source == "redis"


async def test_a_session_names_the_quota(any_redis: str) -> None:
    """Without `key` the session names the quota; a session of another key is refused."""
    url = Config(base_url="http://127.0.0.1:1")
    one = RedisLimiter(any_redis, timeout=5)
    with pytest.raises(ConfigurationError, match="if no session does"):
        await one.acquire()
    for _ in range(2):
        IottlySession("secret", config=url, limiter=one)
    assert "@127.0.0.1:1" in one.name
    assert "secret" not in one.name
    with pytest.raises(ConfigurationError, match="another API key or host"):
        IottlySession("other", config=url, limiter=one)
    await begin(one, 5)
    assert one.quota().source == "redis"
    await one.aclose()


def test_the_limiter_can_be_imported_beside_rate_limiter() -> None:
    """`RedisLimiter` is beside `RateLimiter`, and Redis is loaded only if it is asked for."""
    assert iottly_async.RedisLimiter is iottly_async.ratelimit.RedisLimiter is RedisLimiter
    assert "RedisLimiter" not in iottly_async.__all__


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://:secret@localhost", "redis://:secret@host:port", "", None]
)
def test_a_wrong_url_is_refused(url: Any) -> None:
    """A wrong URL is refused at once; it is not shown, because it may hold a password."""
    with pytest.raises(ConfigurationError, match="url must be redis://") as caught:
        RedisLimiter(url)
    assert "secret" not in str(caught.value)


def test_a_quota_needs_a_name() -> None:
    """An empty key is refused, because it would mix all quotas."""
    with pytest.raises(ConfigurationError, match="key"):
        RedisLimiter("redis://localhost", key="")
