"""Several workers handle a webhook once, by a memory in a real Redis."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from iottly_async import ConfigurationError, SetupError, WebhookUnavailableError
from iottly_async.webhooks import RedisSeenKeys

from ..support.redis_server import RedisServer, any_redis, redis_server, redis_url
from ..support.scale import sized
from .webhook_worker import SECRET

ROOT = Path(__file__).parents[2]

__all__ = ["any_redis", "redis_server", "redis_url"]


async def until(reached: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is true; each question takes a way to Redis or to a file."""
    async with asyncio.timeout(20):
        while not await reached():
            pass


async def test_a_message_is_handled_by_one_worker(redis_url: str) -> None:
    """The first claim is new, others are busy until it is kept, and done afterwards."""
    async with RedisSeenKeys(redis_url) as one, RedisSeenKeys(redis_url) as two:
        assert [await one.claim("k"), await two.claim("k"), await one.claim("k")] == [
            "new",
            "busy",
            "busy",
        ]
        await one.keep("k")
        assert [await one.claim("k"), await two.claim("k")] == ["done", "done"]


async def test_a_message_whose_handling_failed_is_new_again(redis_url: str) -> None:
    """After `release`, the next delivery is new for any worker."""
    async with RedisSeenKeys(redis_url) as one, RedisSeenKeys(redis_url) as two:
        assert await one.claim("k") == "new"
        await two.release("k")  # it holds no claim, so this changes nothing
        assert await two.claim("k") == "busy"
        await one.release("k")
        assert await two.claim("k") == "new"
        await one.release("k")
        assert await one.claim("k") == "busy"


async def test_claims_at_the_same_time_give_one_new(redis_url: str) -> None:
    """However many deliveries arrive at once, one is handled."""
    async with RedisSeenKeys(redis_url) as one, RedisSeenKeys(redis_url) as two:
        claims = [seen.claim(f"k{n}") for n in range(50) for seen in (one, two, one)]
        found = Counter(await asyncio.gather(*claims))
        assert found == {"new": 50, "busy": 100}
        async with Redis.from_url(redis_url) as redis:
            connections = (await redis.info("clients"))["connected_clients"]
    assert connections < 50, "a burst of webhooks does not open a connection each"


async def test_applications_are_told_apart_by_their_name(redis_url: str) -> None:
    """Two applications that share a Redis each handle a message."""
    async with RedisSeenKeys(redis_url) as one, RedisSeenKeys(redis_url, name="other") as two:
        assert [await one.claim("k"), await two.claim("k")] == ["new", "new"]


async def test_the_claim_of_a_worker_that_is_gone_expires(redis_url: str) -> None:
    """Nothing renews it: once its lease has ended, the next delivery is new for another worker."""
    async with RedisSeenKeys(redis_url) as other:
        for key, lease in (("held", 60), ("ended", 0.1)):
            gone = RedisSeenKeys(redis_url, lease=lease)
            assert await gone.claim(key) == "new"
            await gone.aclose()
        assert await other.claim("held") == "busy"

        async def is_new() -> bool:
            return await other.claim("ended") == "new"

        await until(is_new)


async def test_the_claim_of_a_worker_that_lives_is_renewed(redis_url: str) -> None:
    """However long the handling takes, no other worker begins it."""
    async with RedisSeenKeys(redis_url, lease=2) as seen, Redis.from_url(redis_url) as redis:
        assert await seen.claim("k") == "new"
        times = [await redis.pttl("iottly:seen:webhooks:k")]

        async def is_renewed() -> bool:
            times.append(await redis.pttl("iottly:seen:webhooks:k"))
            return bool(times[-1] > times[-2])

        for _ in range(2):
            await until(is_renewed)
        await seen.keep("k")
        assert await redis.pttl("iottly:seen:webhooks:k") > 80_000_000


async def test_a_handled_message_is_forgotten_after_a_while(redis_url: str) -> None:
    """`remember` bounds the memory in Redis."""
    async with RedisSeenKeys(redis_url, remember=0.05) as seen:
        assert await seen.claim("k") == "new"
        await seen.keep("k")

        async def is_new() -> bool:
            return await seen.claim("k") == "new"

        await until(is_new)


async def test_without_redis_nothing_is_claimed(redis_server: RedisServer) -> None:
    """The error says to answer 503, and when Redis is back, claims are as before."""
    async with RedisSeenKeys(redis_server.url, timeout=0.2) as seen:
        assert await seen.claim("a") == "new"
        redis_server.kill()
        with pytest.raises(WebhookUnavailableError) as gone:
            await seen.claim("b")
        assert (gone.value.status, gone.value.retry_after) == (503, 1.0)
        redis_server.start()
        assert await seen.claim("b") == "new"


async def test_a_redis_that_hangs_is_gone(redis_server: RedisServer) -> None:
    """A call ends after `timeout`, and no delivery waits for ever."""
    async with RedisSeenKeys(redis_server.url, timeout=0.2) as seen:
        assert await seen.claim("a") == "new"
        redis_server.freeze()
        with pytest.raises(WebhookUnavailableError):
            await seen.claim("b")
        redis_server.thaw()


async def test_what_was_handled_while_redis_was_gone_is_told_later(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker itself knows it at once, and the others when Redis is back."""
    async with RedisSeenKeys(redis_server.url, timeout=0.2, lease=0.1) as seen:
        assert await seen.claim("k") == "new"
        redis_server.kill()
        await seen.keep("k")
        assert await seen.claim("k") == "done"
        redis_server.start()
        async with RedisSeenKeys(redis_server.url) as other:

            async def is_done() -> bool:
                claim = await other.claim("k")
                if claim == "new":
                    await other.release("k")
                return claim == "done"

            await until(is_done)
    logged = [record.msg[:13] for record in caplog.records if record.name.startswith("iottly")]
    assert logged == ["Redis is gone", "Redis is back"]


async def test_a_failed_release_leaves_the_claim_to_expire(redis_server: RedisServer) -> None:
    """The handler's own error is not replaced by one of Redis."""
    async with RedisSeenKeys(redis_server.url, timeout=0.2) as seen:
        assert await seen.claim("k") == "new"
        redis_server.kill()
        await seen.release("k")


async def test_a_refused_password_is_an_error_of_the_setup(redis_server: RedisServer) -> None:
    """It is not taken for a Redis that is gone, and the error does not show the password."""
    async with Redis.from_url(redis_server.url) as redis:
        await redis.config_set("requirepass", "right")
    wrong = redis_server.url.replace("redis://", "redis://:secret-but-wrong@")
    async with RedisSeenKeys(wrong) as seen:
        with pytest.raises(SetupError) as refused:
            await seen.claim("k")
        assert "secret-but-wrong" not in f"{refused.value} {seen!r}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://127.0.0.1"},
        {"url": None},
        {"name": ""},
        {"lease": 0},
        {"remember": 0.0001},
        {"timeout": -1},
    ],
)
def test_an_invalid_argument_is_refused(wrong: dict[str, Any]) -> None:
    """`RedisSeenKeys` raises at once, and shows no URL."""
    arguments = {"url": "redis://:password@127.0.0.1", **wrong}
    with pytest.raises(ConfigurationError) as refused:
        RedisSeenKeys(**arguments)
    assert "password" not in str(refused.value)


# -- worker processes ------------------------------------------------------------------------------


class Worker:
    """A worker process and its URL."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self) -> None:
        """Kill the process."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def working(redis_url: str, lease: float, file: Path) -> AsyncIterator[Worker]:
    """A worker process that runs as long as the block."""
    module = "tests.webhooks.webhook_worker"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, redis_url, str(lease), str(file)), cwd=ROOT, stdout=PIPE
    )
    assert process.stdout is not None
    worker = Worker(process, (await process.stdout.readline()).decode().strip())
    try:
        yield worker
    finally:
        await worker.kill()


async def read(file: Path) -> str:
    """What a worker has written to its log."""
    return await asyncio.to_thread(lambda: file.read_text() if file.exists() else "")


def body(number: int, **payload: Any) -> bytes:
    """The body of a webhook."""
    row = {"from": "d", "timestamp": {"$date": 1775037600000 + number}, "payload": payload}
    return json.dumps({"msg": row}).encode()


async def is_accepted(http: aiohttp.ClientSession, url: str, data: bytes) -> bool:
    """Post a webhook; False if it is to be posted again."""
    headers = {"X-Iottly-Secret": SECRET}
    async with http.post(f"{url}/webhooks/iottly", data=data, headers=headers) as answer:
        assert answer.status in (204, 503)
        return answer.status == 204


async def test_two_worker_processes_handle_each_delivery_once(
    redis_url: str, tmp_path: Path
) -> None:
    """Messages are delivered to both at the same time, and each is handled once."""
    messages, file = sized(150, 1000), tmp_path / "log"
    async with (
        asyncio.timeout(120),
        working(redis_url, 30, file) as one,
        working(redis_url, 30, file) as two,
        aiohttp.ClientSession() as http,
    ):
        waiting = deque(
            (worker.url, body(number, n=number))
            for number in range(messages)
            for worker in (one, two)
        )

        async def platform() -> None:
            while waiting:
                url, data = waiting.popleft()
                if not await is_accepted(http, url, data):
                    waiting.append((url, data))

        await asyncio.gather(*(platform() for _ in range(16)))
    handled = Counter(file.read_text().split("\n"))
    assert handled.pop("") == 1
    assert len(handled) == messages
    assert set(handled.values()) == {1}


async def test_a_worker_that_is_killed_does_not_lose_its_message(
    redis_url: str, tmp_path: Path
) -> None:
    """It is killed between claim and handling; the next delivery is handled by another worker."""
    file, other_file = tmp_path / "log", tmp_path / "other"
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        async with working(redis_url, 0.5, file) as one:
            first = asyncio.create_task(is_accepted(http, one.url, body(1, wait=True)))

            async def is_begun() -> bool:
                return "begun" in await read(file)

            await until(is_begun)
            await one.kill()
            with pytest.raises(aiohttp.ClientError):
                await first
        key = file.read_text().split()[1]
        async with working(redis_url, 0.5, other_file) as two:

            async def is_begun_again() -> bool:
                # A delivery that is handled is not answered; one that is refused is, by 503.
                again = asyncio.ensure_future(is_accepted(http, two.url, body(1, wait=True)))
                while not again.done() and f"begun {key}" not in await read(other_file):
                    pass
                handled = not again.done()
                again.cancel()
                await asyncio.wait([again])
                return handled

            await until(is_begun_again)
