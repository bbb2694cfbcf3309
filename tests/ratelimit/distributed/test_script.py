"""The script in a real Redis: what it leases, remembers and forgets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from iottly_async.ratelimit.distributed.connection import RedisConnection
from iottly_async.ratelimit.distributed.report import Report, WindowReport
from iottly_async.ratelimit.distributed.script import SCRIPT, Lease
from tests.support.redis_server import any_redis, redis_url

__all__ = ["any_redis", "redis_url"]

RESET = 1_767_225_660.0


class Process:
    """One process's calls of the script."""

    def __init__(self, client: Redis) -> None:
        self._script = client.register_script(SCRIPT)
        self.report = Report()

    async def ask(self, want: int = 0, *, reserve: float = 0, spread: bool = False) -> Lease:
        """Send the report, and ask for `want` permits."""
        arguments = self.report.arguments(want, 0.0, reserve=reserve, spread=spread)
        self.report = Report()
        return Lease.read(await self._script(keys=["iottly:quota:test"], args=arguments))

    def observe(
        self, remaining: int, *, limit: int = 60, reset: float = RESET, ends: float = 60.0
    ) -> None:
        """Report the limit headers of an answer."""
        self.report.add(WindowReport(reset, limit, remaining, ends, 60.0, 0.5))

    async def ask_until(self, want: int, seen: Callable[[Lease], bool], **options: Any) -> Lease:
        """Ask again until `seen` is true, waiting as long as the script says."""
        while True:
            lease = await self.ask(want, **options)
            if seen(lease):
                return lease
            await asyncio.sleep(lease.wait or 0.001)


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[Callable[[], Process]]:
    """A function that makes processes which share one Redis."""
    client: Redis = Redis.from_url(redis_url)
    yield lambda: Process(client)
    await client.aclose()


async def test_nothing_known_leases_one_probe(processes: Callable[[], Process]) -> None:
    """The first process gets one permit for a probe; the others wait."""
    one, other = processes(), processes()
    first = await one.ask(10)
    assert (first.permits, first.probe) == (1, True)
    second = await other.ask(10)
    assert second.permits == 0
    assert second.wait > 0


async def test_all_lease_from_one_quota(processes: Callable[[], Process]) -> None:
    """A permit that one process leased cannot be leased by another."""
    one, other = processes(), processes()
    one.observe(25)
    assert (await one.ask(10)).permits == 10
    assert (await other.ask(10)).permits == 10
    assert (await one.ask(10)).permits == 5
    assert (await other.ask(1)).permits == 0


async def test_permits_that_are_over_free_nothing_twice(processes: Callable[[], Process]) -> None:
    """An answer ends a permit and lowers Remaining, so it frees no further permit."""
    one = processes()
    one.observe(10)
    lease = await one.ask(4)
    for remaining in (9, 8, 7, 6):
        one.report.end(lease.generation)
        one.observe(remaining)
    assert (await one.ask(20)).permits == 6


async def test_an_unused_permit_can_be_leased_again(processes: Callable[[], Process]) -> None:
    """An unused permit can be leased by another process."""
    one, other = processes(), processes()
    one.observe(3)
    lease = await one.ask(3)
    assert (await other.ask(1)).permits == 0
    one.report.end(lease.generation)
    await one.ask()
    assert (await other.ask(5)).permits == 1


async def test_permits_of_a_dead_process_end_with_the_window(
    processes: Callable[[], Process],
) -> None:
    """Permits that are never reported over are free again in the next window."""
    dead, living = processes(), processes()
    dead.report.add(WindowReport(RESET, 60, 60, 0.05, 0.05, 0.5))
    assert (await dead.ask(60)).permits == 60
    probe = await living.ask_until(30, lambda lease: lease.probe)
    living.report.end(probe.generation)
    living.report.add(WindowReport(RESET + 60, 60, 59, 60.0, 0.05, 0.5))
    free = await living.ask_until(100, lambda lease: lease.permits > 0)
    assert free.permits == 59


async def test_after_an_empty_window_one_process_probes(
    processes: Callable[[], Process],
) -> None:
    """At the end of an empty window one process probes, and its answer frees the others."""
    one, other = processes(), processes()
    one.observe(0, ends=0.05)
    probe = await one.ask_until(50, lambda lease: lease.permits > 0)
    assert (probe.permits, probe.probe) == (1, True)
    assert (await other.ask(50)).permits == 0
    one.report.end(probe.generation)
    one.observe(59, reset=RESET + 60)
    await one.ask()
    assert (await other.ask(50)).permits == 50


async def test_a_cooldown_holds_all_and_one_probe_ends_it(processes: Callable[[], Process]) -> None:
    """A 429 in one process holds all; after the pause one probe goes, and its answer ends it."""
    one, other = processes(), processes()
    one.observe(50)
    one.report.cooldown_until = 0.05
    await one.ask()
    held = await other.ask(10)
    assert held.permits == 0
    assert 0 < held.wait <= 0.05
    probe = await other.ask_until(10, lambda lease: lease.permits > 0)
    assert (probe.permits, probe.probe) == (1, True)
    assert (await one.ask(10)).permits == 0
    other.report.end(probe.generation)
    other.report.probed = True
    other.observe(49)
    await other.ask()
    assert (await one.ask(10)).permits == 10


async def test_a_probe_that_came_to_nothing_goes_to_the_next(
    processes: Callable[[], Process],
) -> None:
    """A probe that could not be used goes to another process at once."""
    one, other = processes(), processes()
    probe = await one.ask(1)
    assert (await other.ask(1)).permits == 0
    one.report.end(probe.generation)
    one.report.probe_lost = True
    await one.ask()
    assert (await other.ask(1)).probe


async def test_an_older_window_is_ignored(processes: Callable[[], Process]) -> None:
    """A late report of an old window changes nothing."""
    one, other = processes(), processes()
    one.observe(40, reset=RESET + 60)
    await one.ask()
    other.observe(3, reset=RESET)
    assert (await other.ask(100)).permits == 40


@pytest.mark.parametrize(("reserve", "permits"), [(10, 20), (0.25, 15), (600, 0)])
async def test_a_reserve_is_never_leased(
    processes: Callable[[], Process], reserve: float, permits: int
) -> None:
    """The reserve, by number or by share of the limit, is never leased."""
    one = processes()
    one.observe(30)
    assert (await one.ask(100, reserve=reserve)).permits == permits


async def test_spread_leases_one_at_a_time(processes: Callable[[], Process]) -> None:
    """With `spread` the next permit comes after its part of the window."""
    one = processes()
    one.observe(30, ends=3.0)
    lease = await one.ask(10, spread=True)
    assert lease.permits == 1
    assert 0.09 <= lease.wait <= 0.1
    assert (await one.ask(10, spread=True)).permits == 0


async def test_without_headers_all_requests_may_go(processes: Callable[[], Process]) -> None:
    """If answers have no limit headers, as many permits are leased as are wanted."""
    one, other = processes(), processes()
    probe = await one.ask(1)
    one.report.end(probe.generation)
    one.report.bare = one.report.probed = True
    await one.ask()
    assert (await other.ask(5000)).permits == 5000


async def test_the_hash_does_not_stay_for_ever(
    processes: Callable[[], Process], redis_url: str
) -> None:
    """The hash of an unused quota expires."""
    await processes().ask(1)
    client: Redis = Redis.from_url(redis_url)
    assert 0 < await client.ttl("iottly:quota:test") <= 3600
    await client.aclose()


async def test_permits_from_before_a_flush_end_no_newer_ones(
    processes: Callable[[], Process], redis_url: str
) -> None:
    """Permits leased before Redis was flushed do not end permits leased after."""
    one = processes()
    one.observe(30)
    old = await one.ask(30)
    client: Redis = Redis.from_url(redis_url)
    await client.flushdb()
    await client.aclose()
    one.observe(30)
    await one.ask(30)
    for _ in range(30):
        one.report.end(old.generation)
    assert (await one.ask(30)).permits == 0


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "9e99", "-5", "x", "", "1e400"])
@pytest.mark.parametrize(
    "field",
    sorted(
        {"reset", "limit", "least", "ends", "length", "out", "gen", "gen_at", "carry"}
        | {"carry_end", "until", "active", "probe", "free", "next_at"}
    ),
)
async def test_what_another_client_wrote_is_repaired_by_one_call(
    processes: Callable[[], Process], redis_url: str, field: str, value: str
) -> None:
    """The quota begins anew, says so, and is as good as a new one. The hash still expires."""
    one = processes()
    one.observe(30)
    await one.ask(1)
    client: Redis = Redis.from_url(redis_url)
    await client.hset("iottly:quota:test", mapping={field: value, "foreign": "1"})
    repaired = await one.ask(1)
    assert (repaired.repaired, repaired.permits, repaired.probe) == (True, 1, True)
    one.report.probed = True
    one.observe(20)
    lease = await one.ask(5)
    assert (lease.repaired, lease.permits, lease.left) == (False, 5, 14)
    assert 0 < await client.ttl("iottly:quota:test") <= 3600
    assert not await client.hexists("iottly:quota:test", "foreign")
    await client.aclose()


@pytest.mark.parametrize("field", ["ends", "until", "probe", "next_at", "gen_at", "carry_end"])
async def test_a_far_date_is_repaired(
    processes: Callable[[], Process], redis_url: str, field: str
) -> None:
    """No window and no cooldown is a week long."""
    one = processes()
    one.observe(30)
    await one.ask(1)
    client: Redis = Redis.from_url(redis_url)
    seconds, _ = await client.time()
    await client.hset("iottly:quota:test", field, seconds + 7 * 86_400)
    await client.aclose()
    assert (await one.ask(1)).repaired


async def test_a_reset_that_is_far_ahead_is_replaced_by_the_next_one(
    processes: Callable[[], Process], redis_url: str
) -> None:
    """It is a time of the server, whose clock Redis does not know. An answer shows the truth."""
    one = processes()
    one.observe(30)
    await one.ask(1)
    client: Redis = Redis.from_url(redis_url)
    await client.hset("iottly:quota:test", "reset", RESET + 3 * 86_400)
    await client.aclose()
    one.observe(12)
    lease = await one.ask(100)
    assert (lease.permits, lease.left) == (11, 0)  # one was leased before


async def test_a_key_of_another_type_is_told(redis_url: str, caplog: Any) -> None:
    """A text under the name of the quota: Redis refuses, the log says why, and calls go on."""
    client: Redis = Redis.from_url(redis_url)
    connection = RedisConnection(
        redis_url, name="iottly:quota:test", timeout=5.0, monotonic=lambda: 0.0, random=lambda: 0.5
    )
    await client.set("iottly:quota:test", "text")
    assert await connection.lease(Report().arguments(1, 0.0, reserve=0, spread=False)) is None
    assert "WRONGTYPE" in caplog.text
    await connection.aclose()
    await client.aclose()
