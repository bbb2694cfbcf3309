"""The limiter on servers whose refusals tell nothing of their limit, in virtual time.

Each case makes the requests that the server admits in a minute or more, and compares the time
with the least time in which an all-knowing client would make them.
"""

import asyncio
from typing import Any

import pytest

from benchmarks.limiter_quota import ideal
from iottly_async.models.quota import Quota
from iottly_async.ratelimit import RateLimiter
from tests.ratelimit.simulation import SimulatedServer, call, run_late, use_up
from tests.support.virtual_time import VirtualClock

FORTY: dict[str, Any] = {"limit": 40, "window": 1.0}
PRO: dict[str, Any] = {"limit": 600, "window": 60.0}
STARTER: dict[str, Any] = {"limit": 60, "window": 60.0}
SECOND: dict[str, Any] = {"algorithm": "limit_req", "limit": 1, "window": 1.0}
THREE_SECONDS: dict[str, Any] = {"algorithm": "limit_req", "limit": 1, "window": 3.0}
NGINX: dict[str, Any] = {"algorithm": "limit_req", "burst": 5, **FORTY}


def run(
    server: dict[str, Any], requests: int, workers: int, seed: int
) -> tuple[float, float, Quota]:
    """Make requests by one limiter; the time over the least time, refusals a request, the quota."""
    one = SimulatedServer(style="none", seed=seed, **server)

    async def main() -> tuple[float, float, Quota]:
        limiter = RateLimiter(clock=VirtualClock(seed=seed))
        await asyncio.sleep((0.35 * one.window - one.now()) % one.window)
        least = ideal(one.algorithm, one.limit, one.window, requests, one.now(), one.burst)
        took = await use_up(limiter, one, requests, workers)
        return took / least, len(one.refused) / requests, limiter.quota()

    return run_late(main, seed)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("workers", [8, 100])
@pytest.mark.parametrize(
    ("server", "requests", "most"),
    [
        pytest.param({"algorithm": "bucket", **FORTY}, 2400, 1.03, id="bucket of 40/s"),
        pytest.param({"algorithm": "fixed", **FORTY}, 2400, 1.06, id="40 in each second"),
        pytest.param({"algorithm": "sliding", **FORTY}, 2400, 1.15, id="40 in any second"),
        pytest.param(NGINX, 2400, 1.05, id="nginx"),
        pytest.param({**NGINX, "latency": (0.1, 0.2)}, 2400, 1.05, id="nginx, 0.15 s away"),
        pytest.param({"algorithm": "fixed", **PRO}, 1500, 1.1, id="600 in each minute"),
        pytest.param({"algorithm": "sliding", **PRO}, 1500, 1.1, id="600 in any minute"),
    ],
)
def test_refusals_without_headers_cost_little(
    server: dict[str, Any], requests: int, most: float, workers: int, seed: int
) -> None:
    """Time is close to the least, and less than one request in ten is refused while learning."""
    time, refusals, quota = run(server, requests, workers, seed)
    assert time <= most
    assert refusals <= 0.1
    assert quota.source == "learned"
    assert quota.rate is not None
    rate = server["limit"] / server["window"]
    assert 0.85 * rate <= quota.rate <= 1.2 * rate
    assert quota.limit is None


@pytest.mark.parametrize("workers", [8, 100])
@pytest.mark.parametrize(
    ("server", "requests", "most", "refused"),
    [
        pytest.param({"algorithm": "bucket", **PRO}, 1500, 1.03, 230, id="bucket of 600"),
        pytest.param({"algorithm": "fixed", **STARTER}, 180, 1.1, 100, id="60 in each minute"),
        pytest.param({"algorithm": "sliding", **STARTER}, 180, 1.15, 100, id="60 in any minute"),
        pytest.param(SECOND, 120, 1.2, 35, id="1 a second"),
        pytest.param(THREE_SECONDS, 60, 1.25, 40, id="1 in 3 s"),
    ],
)
def test_slow_limits_are_learned_by_some_refusals(
    server: dict[str, Any], requests: int, most: float, refused: int, workers: int
) -> None:
    """Time is close to the least for slow limits too; learning one costs some refusals."""
    time, refusals, _ = run(server, requests, workers, 0)
    assert time <= most
    assert refusals * requests <= refused


@pytest.mark.parametrize("workers", [8, 100])
def test_a_proxy_may_refuse_by_503(workers: int) -> None:
    """nginx refuses by 503: answers of 503 among successes count as refusals."""
    time, refusals, quota = run({**NGINX, "refusal": 503}, 2400, workers, 0)
    assert time <= 1.1
    assert refusals <= 0.1
    assert quota.source == "learned"


def test_one_caller_below_the_limit_is_not_held() -> None:
    """Requests one by one that stay below the limit are never refused, and nothing is learned."""
    one = SimulatedServer(style="none", **NGINX)

    async def main() -> Quota:
        limiter = RateLimiter(clock=VirtualClock())
        await use_up(limiter, one, 300, 1)
        return limiter.quota()

    quota = run_late(main)
    assert not one.refused
    assert (quota.source, quota.rate) == ("unknown", None)


async def _rate_after(server: SimulatedServer, limiter: RateLimiter, requests: int) -> float:
    """Requests a second that `requests` requests by 50 workers reach."""
    return requests / await use_up(limiter, server, requests, 50)


def test_a_limit_that_is_lifted_or_lowered_is_noticed() -> None:
    """A limit that becomes four times as high, and then low again, is followed in seconds."""
    rates = []

    async def main() -> None:
        limiter = RateLimiter(clock=VirtualClock())
        for limit in (40, 160, 40):
            server = SimulatedServer(style="none", algorithm="limit_req", limit=limit, burst=5,
                                     window=1.0)  # fmt: skip
            await _rate_after(server, limiter, 10 * limit)
            rates.append(await _rate_after(server, limiter, 10 * limit))
            assert len(server.refused) <= 0.1 * 20 * limit

    run_late(main)
    assert rates == pytest.approx([40, 160, 40], rel=0.1)


def test_a_limit_that_is_gone_is_forgotten() -> None:
    """Without refusals the learned rate grows ever faster, until there is none any more."""
    free = SimulatedServer(style="none", limit=10**9)

    async def main() -> tuple[float, Quota]:
        limiter = RateLimiter(clock=VirtualClock())
        await use_up(limiter, SimulatedServer(style="none", **NGINX), 200, 50)
        assert limiter.quota().rate is not None
        took = await use_up(limiter, free, 1200, 50)
        return took, limiter.quota()

    took, quota = run_late(main)
    assert took <= 10
    assert (quota.rate, quota.source) == (None, "unknown")


def test_requests_after_a_rest_go_at_once() -> None:
    """After a rest, as many requests go at once as the server is known to admit at once."""
    server = SimulatedServer(style="none", **NGINX)

    async def main() -> float:
        limiter = RateLimiter(clock=VirtualClock())
        await use_up(limiter, server, 400, 50)
        refused = len(server.refused)
        await asyncio.sleep(10)
        took = await use_up(limiter, server, 5, 5)
        assert len(server.refused) == refused
        return took

    assert run_late(main) <= 0.1


@pytest.mark.parametrize("processes", [3, 8])
def test_processes_share_a_rate_that_nothing_tells(processes: int) -> None:
    """Limiters that do not know each other use most of the rate, with few refusals."""
    server = SimulatedServer(style="none", **NGINX)

    async def main() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for seed in range(processes):
                one = RateLimiter(clock=VirtualClock(seed=seed))
                group.create_task(use_up(one, server, 10**9, 96 // processes))

    with pytest.raises(TimeoutError):
        run_late(main)
    assert len(server.admitted) >= 0.95 * 2400
    assert len(server.refused) <= 0.12 * len(server.admitted)


def test_an_outage_is_not_taken_for_a_limit() -> None:
    """Answers of 503 without any success leave the rate as it is, and hold nothing up."""
    limiter_rate: list[float | None] = []

    async def main() -> float:
        limiter = RateLimiter(clock=VirtualClock())
        loop = asyncio.get_running_loop()
        server = SimulatedServer(style="none", limit=10**9)
        await use_up(limiter, server, 200, 20)
        for _ in range(300):  # half a minute
            permit = await limiter.acquire()
            await asyncio.sleep(0.1)
            limiter.answered(permit, 503, {})
        limiter_rate.append(limiter.quota().rate)
        began = loop.time()
        await call(limiter, server)
        return loop.time() - began

    assert run_late(main) <= 0.1
    assert limiter_rate == [None]


def test_an_outage_behind_a_limit_holds_nothing_up() -> None:
    """If all answers become 503 after a rate was learned, probes are not held back for long."""

    async def main() -> float:
        limiter = RateLimiter(clock=VirtualClock())
        loop = asyncio.get_running_loop()
        server = SimulatedServer(style="none", refusal=503, **NGINX)
        await use_up(limiter, server, 400, 20)
        until = loop.time() + 300
        while loop.time() < until:
            permit = await limiter.acquire()
            await asyncio.sleep(1.0)
            limiter.answered(permit, 503, {})
        began = loop.time()
        await limiter.acquire()
        return loop.time() - began

    assert run_late(main) <= 3.0
