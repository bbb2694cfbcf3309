"""Processes that share a quota through a real Redis, and what happens when it fails."""

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
    """The first answer, which tells of the quota."""
    one.answered(await one.acquire(), 200, told(remaining))
    await asyncio.wait_for(one.acquire(), 5)  # leased after the report has arrived


CASES = {
    "3 processes": (3, (), ()),
    "8 processes": (8, (), ()),
    "clocks 5 s off": (2, ("--ahead", "5"), ("--skew", "-5")),
}


@pytest.fixture(scope="module")
def outcomes(any_redis: str) -> Mapping[str, Outcome]:
    """What became of several processes that share a quota, for all cases side by side."""

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
    """However many processes share a key, and whatever their clocks say, none is told 429."""
    outcome, count = outcomes[case], CASES[case][0]
    assert outcome.refused == 0
    assert outcome.done == outcome.admitted == REQUESTS // count * count
    assert all(worker["source"] == "redis" for worker in outcome.workers)


@pytest.mark.parametrize("case", CASES)
def test_processes_give_back_all_turns(outcomes: Mapping[str, Outcome], case: str) -> None:
    """At the end nothing is in flight, and each worker had its turns in the order of asking."""
    assert all(worker["in_flight"] == 0 for worker in outcomes[case].workers)
    assert all(worker["in_order"] for worker in outcomes[case].workers)


def test_a_killed_process_takes_nothing_along(redis_url: str) -> None:
    """What a process held when it was killed is free again after the window."""

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
    """No more turns are out than the server has left, whichever limiters hold them."""
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


async def test_a_turn_given_back_goes_to_another_process(redis_url: str) -> None:
    """An unused turn is leased again, without waiting for the window."""
    async with limiters(redis_url, 2) as (one, other):
        await begin(one, 3)
        held = [await one.acquire() for _ in range(2)]
        waiter = asyncio.create_task(other.acquire())
        await asyncio.sleep(0)
        one.unused(held[0])
        assert isinstance(await asyncio.wait_for(waiter, 5), Permit)


async def test_cancelled_waiters_hold_nothing(redis_url: str) -> None:
    """Turns that were leased for tasks that gave up come back."""
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


async def test_a_turn_too_late_fails_at_once(redis_url: str) -> None:
    """A deadline before the next turn is an error that says when there would be one."""
    async with limiters(redis_url) as (one,):
        await begin(one, 1)
        loop = asyncio.get_running_loop()
        for _ in range(2):  # told by Redis the first time, known here the second
            with pytest.raises(RateLimitedError) as caught:
                await one.acquire(deadline=loop.time() + 5)
            assert caught.value.retry_after is not None
            assert caught.value.retry_after > 5


async def test_the_quota_is_told(redis_url: str) -> None:
    """The snapshot says what all processes have left, and that Redis says so."""
    async with limiters(redis_url) as (one,):
        await begin(one, 42)
        quota = one.quota()
        assert (quota.limit, quota.remaining, quota.source) == (100, 41, "redis")
        assert (quota.in_flight, quota.waiting, quota.refusals) == (1, 0, 0)
        assert quota.resets_at is not None


async def test_a_flushed_script_cache_is_filled_again(redis_url: str) -> None:
    """Redis that has forgotten the script is given it again, unnoticed."""
    async with limiters(redis_url) as (one,):
        await begin(one, 50)
        with Redis.from_url(redis_url) as client:
            client.script_flush()
        await asyncio.wait_for(one.acquire(), 5)
        assert one.quota().source == "redis"


async def test_without_redis_the_headers_are_enough(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """When Redis is killed, waiters and newcomers go on by headers, and a warning says so once."""
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
    """After a restart, which forgot everything, the quota is shared as before."""
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
    """A Redis that does not answer within the timeout holds nobody up for longer."""
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
async def test_a_redis_that_refuses_us_is_no_lost_one(
    redis_server: RedisServer, login: str
) -> None:
    """A wrong password is an error for all who wait, which says what to do and not the password."""
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


async def test_closing_gives_back_what_is_on_its_way(redis_server: RedisServer) -> None:
    """Turns that are leased while a limiter closes are another process's at once."""
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


async def test_closing_tells_who_waits(redis_url: str) -> None:
    """Waiters of a limiter that is closed are told, and a closed one takes nobody in."""
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
    """A limiter goes on in the next event loop, with connections of that loop."""
    one = RedisLimiter(redis_url, key="test", timeout=5)

    async def use(remaining: int) -> None:
        async with one:
            for left in range(remaining, remaining - 3, -1):
                one.answered(await one.acquire(), 200, told(left))

    asyncio.run(use(50))
    asyncio.run(use(40))
    assert one.quota().source == "redis"


async def test_a_session_names_the_quota(any_redis: str) -> None:
    """Without a key the quota is that of the session's key and host; another's is refused."""
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


def test_the_limiter_is_where_one_looks_for_it() -> None:
    """It can be imported beside `RateLimiter`, though neither package's names load Redis."""
    assert iottly_async.RedisLimiter is iottly_async.ratelimit.RedisLimiter is RedisLimiter
    assert "RedisLimiter" not in iottly_async.__all__


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://:secret@localhost", "redis://:secret@host:port", "", None]
)
def test_a_url_that_is_none_of_a_redis_is_refused(url: Any) -> None:
    """At once, not with the first call; what was given is not shown, as it may hold a password."""
    with pytest.raises(ConfigurationError, match="url must be redis://") as caught:
        RedisLimiter(url)
    assert "secret" not in str(caught.value)


def test_a_quota_needs_a_name() -> None:
    """An empty key would put all quotas into one."""
    with pytest.raises(ConfigurationError, match="key"):
        RedisLimiter("redis://localhost", key="")
