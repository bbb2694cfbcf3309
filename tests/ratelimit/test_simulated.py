"""The limiter against simulated servers of every kind, in virtual time.

Five minutes take a moment here, so each case runs for several seeds, and no figure depends
on the machine. Timers are late by a little, as on real event loops.
"""

import asyncio
import math
from collections import Counter
from typing import Any

import pytest

from benchmarks.limiter_quota import ideal
from iottly_async.ratelimit import RateLimiter
from iottly_async.ratelimit.limiter import Mode
from tests.ratelimit.simulation import SimulatedServer, call, run_late, use_up
from tests.support.virtual_time import VirtualClock

SHORT: dict[str, Any] = {"limit": 200, "window": 2.0}
PRO: dict[str, Any] = {"limit": 600, "window": 60.0}
STARTER: dict[str, Any] = {"limit": 60, "window": 60.0}


async def run(
    server: SimulatedServer,
    *,
    seed: int = 0,
    mode: Mode = "burst",
    other: float = 0.0,
    wall: float = 0.0,
) -> float:
    """Make the requests of four windows and three quarters; returns the time over the ideal."""
    requests = server.limit * 19 // 4
    one = RateLimiter(clock=VirtualClock(seed=seed, offset=wall), mode=mode)
    await asyncio.sleep((0.35 * server.window - server.now()) % server.window)
    competitor = asyncio.create_task(server.other_client(other)) if other else None
    began = server.now()
    took = await use_up(one, server, requests, 50)
    if competitor is not None:
        competitor.cancel()
    return took / ideal(server.algorithm, server.limit, server.window, requests, began)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("server", "most"),
    [
        pytest.param({"algorithm": "fixed", **SHORT}, 1.05, id="fixed"),
        pytest.param({"algorithm": "fixed", **PRO}, 1.01, id="fixed, pro"),
        pytest.param({"algorithm": "fixed", **STARTER}, 1.01, id="fixed, starter"),
        pytest.param({"algorithm": "sliding", **SHORT}, 1.5, id="sliding"),
        pytest.param({"algorithm": "sliding", **PRO}, 1.03, id="sliding, pro"),
        pytest.param({"algorithm": "sliding-newest", **SHORT}, 1.5, id="sliding, by the newest"),
        pytest.param({"algorithm": "bucket", **SHORT}, 1.05, id="bucket"),
        pytest.param({"algorithm": "bucket", **PRO}, 1.05, id="bucket, pro"),
        pytest.param({"algorithm": "bucket", **STARTER}, 1.05, id="bucket, starter"),
        pytest.param({"style": "ietf", **SHORT}, 1.08, id="fixed, IETF"),
        pytest.param({"style": "older", **SHORT}, 1.08, id="fixed, IETF, older"),
        pytest.param({"style": "ietf", "algorithm": "bucket", **SHORT}, 1.03, id="bucket, IETF"),
        pytest.param({"rounding": "down", **SHORT}, 1.05, id="fixed, rounded down"),
        pytest.param({"style": "x-before", **STARTER}, 1.01, id="fixed, Remaining before"),
        pytest.param(
            {"rounding": "down", "algorithm": "bucket", **SHORT}, 1.03, id="bucket, rounded down"
        ),
    ],
)
def test_alone_nothing_is_refused(server: dict[str, Any], most: float, seed: int) -> None:
    """Alone on the key no request is refused, and the time is close to the ideal."""
    one = SimulatedServer(seed=seed, **server)
    assert run_late(lambda: run(one, seed=seed), seed) <= most
    assert not one.refused


@pytest.mark.parametrize("wall", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("skew", [-3600.0, -5.0, -0.4, 0.4, 5.0, 3600.0])
def test_wrong_clocks_cost_little_and_no_refusal(skew: float, wall: float) -> None:
    """Wrong clocks of the server or the client cause no refusal and little delay."""
    server = SimulatedServer(skew=skew, **SHORT)
    assert run_late(lambda: run(server, wall=wall)) <= 1.2
    assert not server.refused


@pytest.mark.parametrize("seed", range(3))
def test_a_competitor_costs_few_refusals(seed: int) -> None:
    """With another client that takes 30 %, less than one request in a hundred is refused."""
    server = SimulatedServer(seed=seed, **SHORT)
    run_late(lambda: run(server, seed=seed, other=0.3))
    assert len(server.refused) <= 0.01 * len(server.admitted)


@pytest.mark.parametrize("seed", range(3))
def test_spread_leaves_others_their_share(seed: int) -> None:
    """With `spread` another client gets most of what it wishes for."""
    server = SimulatedServer(seed=seed, **SHORT)
    run_late(lambda: run(server, seed=seed, other=0.3, mode="spread"))
    wish = server.others_admitted + server.others_refused
    assert server.others_admitted >= 0.75 * wish
    assert len(server.refused) <= 0.01 * len(server.admitted)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("quota", [SHORT, PRO])
def test_a_fixed_window_is_used_whole(quota: dict[str, Any], seed: int) -> None:
    """Between the first and the last window 99.5 % of the quota is used."""
    server = SimulatedServer(seed=seed, **quota)
    run_late(lambda: run(server, seed=seed), seed)
    windows = [int(at // server.window) for at in server.admitted]
    whole = range(windows[0] + 1, windows[-1])
    assert len(whole) >= 2
    used = sum(window in whole for window in windows)
    assert used >= 0.995 * server.limit * len(whole)


@pytest.mark.parametrize("quota", [SHORT, STARTER])
def test_a_quota_that_only_refusals_show_is_learned(quota: dict[str, Any]) -> None:
    """If only refusals have headers, all workers run into the limit twice at most."""
    server = SimulatedServer(style="x-refused", **quota)
    assert run_late(lambda: run(server)) <= 1.2
    assert 0 < len(server.refused) <= 2 * 50


async def share_key(server: SimulatedServer, limiters: int, windows: int) -> list[int]:
    """Let limiters use one key for whole windows; returns how many requests each had admitted."""
    await asyncio.sleep((0.35 * server.window - server.now()) % server.window)
    admitted = [0] * limiters

    async def work(one: RateLimiter, number: int) -> None:
        while True:
            await call(one, server)
            admitted[number] += 1

    ends = (math.floor(server.now() / server.window) + windows) * server.window
    try:
        async with asyncio.timeout(ends - server.now()), asyncio.TaskGroup() as group:
            for number in range(limiters):
                one = RateLimiter(clock=VirtualClock(seed=server.seed * 100 + number))
                for _ in range(48 // limiters):
                    group.create_task(work(one, number))
    except TimeoutError:
        return admitted
    raise AssertionError("they work without end")


@pytest.mark.parametrize(
    ("quota", "limiters", "most"),
    [
        *(pytest.param(PRO, count, 0.03, id=f"pro, {count}") for count in (2, 3, 8, 16)),
        *(pytest.param(STARTER, count, 0.05, id=f"starter, {count}") for count in (2, 3, 8)),
        # With less than four requests a window each, the others are hardly seen.
        pytest.param(STARTER, 16, 0.07, id="starter, 16"),
    ],
)
def test_processes_that_share_a_key_by_headers_alone(
    quota: dict[str, Any], limiters: int, most: float
) -> None:
    """Processes that share a key use the whole quota, with few refusals.

    In the first window they begin all at once, and none knows of the others.
    """
    refused = admitted = 0
    for seed in range(3):
        server = SimulatedServer(seed=seed, **quota)
        run_late(lambda server=server: share_key(server, limiters, 10), seed)  # type: ignore[misc]
        windows = Counter(int(at // server.window) for at in server.admitted)
        second = (min(windows) + 1) * server.window
        refused += sum(at >= second for at in server.refused)
        admitted += sum(at >= second for at in server.admitted)
        # All of each window, but for one request of the last, in which time runs out.
        assert sum(windows.values()) >= 10 * server.limit - 1
    assert refused <= most * admitted


def test_processes_with_the_same_demand_get_the_same() -> None:
    """Of three processes, each gets about a third of the quota."""
    server = SimulatedServer(**PRO)
    admitted = run_late(lambda: share_key(server, 3, 10))
    assert min(admitted) >= 0.7 * 10 * server.limit / 3


def test_what_others_leave_is_used() -> None:
    """When the others have ended, one process uses the whole quota again, without refusals."""
    server = SimulatedServer(**STARTER)

    async def main() -> float:
        await asyncio.sleep((0.35 * server.window - server.now()) % server.window)
        first, second = (RateLimiter(clock=VirtualClock(seed=seed)) for seed in range(2))
        async with asyncio.TaskGroup() as group:
            group.create_task(use_up(first, server, 90, 10))
            group.create_task(use_up(second, server, 90, 10))
        server.refused.clear()
        await asyncio.sleep(server.window)
        await asyncio.sleep((0.35 * server.window - server.now()) % server.window)
        return await use_up(first, server, 3 * server.limit + 30, 10)

    least = (3 - 0.35) * server.window
    assert run_late(main) <= 1.02 * least
    assert len(server.refused) <= 1


def test_a_waiter_that_would_give_up_looks_at_once() -> None:
    """A call with a deadline does not fail for what may be left to others."""
    server = SimulatedServer(**STARTER)

    async def main() -> None:
        await asyncio.sleep((0.1 * server.window - server.now()) % server.window)
        first, second = (RateLimiter(clock=VirtualClock(seed=seed)) for seed in range(2))
        for _ in range(15):
            await call(first, server)
            await call(second, server)
        await asyncio.sleep(server.window)
        for _ in range(20):
            await call(first, server)
        now = asyncio.get_running_loop().time()
        for _ in range(30):
            permit = await second.acquire(deadline=now + 5)
            status, headers = await server.request()
            second.answered(permit, status, headers)
            assert status == 200

    run_late(main)
