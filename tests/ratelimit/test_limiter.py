"""The limiter with people waiting at it, in virtual time."""

import asyncio
import threading

import pytest

from iottly_async.errors import ConfigurationError, RateLimitedError
from iottly_async.ratelimit import Permit, RateLimiter
from tests.ratelimit.simulation import SimulatedServer, call, use_up
from tests.support.virtual_time import START, VirtualClock, settle, virtual


def limiter(**options: object) -> RateLimiter:
    """A limiter on the virtual clock."""
    return RateLimiter(clock=VirtualClock(), **options)  # type: ignore[arg-type]


async def known(server: SimulatedServer, **options: object) -> RateLimiter:
    """A limiter that has had its first answer."""
    one = limiter(**options)
    await call(one, server)
    return one


async def hold(one: RateLimiter, count: int) -> list[Permit]:
    """So many permits, not given back."""
    return [await one.acquire() for _ in range(count)]


@virtual
async def test_turns_come_in_the_order_of_asking() -> None:
    """First in, first out, through a window's end."""
    one, server = limiter(), SimulatedServer(limit=20)
    order: list[int] = []

    async def ask(number: int) -> None:
        permit = await one.acquire()
        order.append(number)
        one.answered(permit, *await server.request())

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(ask(number))
    assert order == list(range(100))
    assert not server.refused


@virtual
async def test_a_newcomer_does_not_overtake() -> None:
    """A turn that comes free goes to who waits, not to who asks in the same moment."""
    server = SimulatedServer(limit=20)
    one = await known(server)
    held = await hold(one, 19)
    order: list[str] = []

    async def ask(name: str) -> None:
        permit = await one.acquire()
        order.append(name)
        one.lost(permit)

    waiting = asyncio.create_task(ask("waiting"))
    await settle()
    one.unused(held[0])
    newcomer = asyncio.create_task(ask("newcomer"))
    await asyncio.wait([waiting, newcomer])
    assert order == ["waiting", "newcomer"]


@virtual
async def test_a_permit_is_over_once() -> None:
    """More end calls than one change nothing."""
    server = SimulatedServer(limit=20)
    one = await known(server)
    permit = await one.acquire()
    for end in (one.unused, one.unused, one.lost):
        end(permit)
    one.answered(permit, 200, {})
    assert one.quota().in_flight == 0
    assert one.quota().remaining == 19


@virtual
async def test_who_is_cancelled_leaves_the_turn_to_the_next() -> None:
    """A waiter cancelled in the tick in which it is granted hands its turn on."""
    server = SimulatedServer(limit=20, window=600)
    one = await known(server)
    held = await hold(one, 19)
    first, second = (asyncio.create_task(one.acquire()) for _ in range(2))
    await settle()
    one.unused(held[0])
    first.cancel()
    await asyncio.wait([first, second], timeout=1)
    assert first.cancelled()
    assert second.done()
    assert one.quota().in_flight == 19


@virtual
async def test_the_cancelled_neither_hold_nor_hinder() -> None:
    """Half of ten thousand give up at odd moments; all others have their turn."""
    one, server = limiter(), SimulatedServer(limit=20_000)
    tasks = [asyncio.create_task(call(one, server)) for _ in range(10_000)]
    for task in tasks[::2]:
        asyncio.get_running_loop().call_later(hash(task) % 7 * 0.01, task.cancel)
    await asyncio.wait(tasks)
    assert all(not task.cancelled() for task in tasks[1::2])
    assert one.quota().waiting == 0
    assert one.quota().in_flight == 0


@virtual
async def test_the_refused_go_ahead() -> None:
    """Who was told 429 has the first turn after the gate."""
    server = SimulatedServer(limit=20, window=600)
    one = await known(server)
    held = await hold(one, 19)
    order: list[str] = []

    async def ask(name: str, *, refused: bool) -> None:
        one_more = await one.acquire(refused=refused)
        order.append(name)
        one.lost(one_more)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask("early", refused=False))
        await settle()
        group.create_task(ask("refused", refused=True))
        await settle()
        for permit in held:
            one.unused(permit)
    assert order == ["refused", "early"]


@virtual
async def test_a_turn_too_late_fails_at_once() -> None:
    """A deadline before the next turn is an error now, which says when there would be one."""
    server = SimulatedServer(limit=20, window=60)
    one = await known(server)
    await hold(one, 19)
    now = asyncio.get_running_loop().time()
    with pytest.raises(RateLimitedError, match="before the deadline") as caught:
        await one.acquire(deadline=now + 5)
    assert asyncio.get_running_loop().time() == now
    error = caught.value
    assert error.retry_after is not None
    assert 5 < error.retry_after <= 61.1
    assert (error.status, error.sent) == (None, "no")


@virtual
async def test_a_place_too_far_back_fails_at_once() -> None:
    """A queue that fills more windows than there is time for takes nobody in."""
    server = SimulatedServer(limit=20, window=10)
    one = limiter()
    await use_up(one, server, 45, 45)  # windows seen from their beginning
    waiting = [asyncio.create_task(one.acquire()) for _ in range(100)]
    await settle()
    now = asyncio.get_running_loop().time()
    with pytest.raises(RateLimitedError) as caught:
        await one.acquire(deadline=now + 20)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 20
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def rolling(count: int) -> tuple[RateLimiter, list[asyncio.Task[Permit]]]:
    """A limiter with 59 requests left of a rolling quota, and tasks that waited for them."""
    one, server = limiter(), SimulatedServer(algorithm="bucket", limit=60, window=60)
    await use_up(one, server, 60, 50)
    first = asyncio.create_task(call(one, server))
    await settle()
    waiting = [asyncio.create_task(one.acquire()) for _ in range(count)]
    await first
    return one, waiting


@virtual
async def test_a_permit_that_is_kept_back_goes_to_who_cannot_wait() -> None:
    """The permit kept back for a test goes to a waiter that would give up before the test."""
    one, waiting = await rolling(100)
    assert sum(task.done() for task in waiting) == 58
    now = asyncio.get_running_loop().time()
    hasty = asyncio.create_task(one.acquire(deadline=now + 0.5, priority=1))
    await settle()
    assert await hasty
    assert asyncio.get_running_loop().time() == now
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@virtual
async def test_a_permit_that_is_kept_back_goes_to_the_last_waiter() -> None:
    """When no more wait than there are permits, none is kept back."""
    _, waiting = await rolling(60)
    first, last = (task for task in waiting if not task.done())
    now = asyncio.get_running_loop().time()
    first.cancel()
    await settle()
    assert last.done()
    assert asyncio.get_running_loop().time() == now


@virtual
async def test_a_gate_ends_the_waits_that_it_makes_vain() -> None:
    """When a 429 pushes the next turn beyond a waiter's deadline, it is told at once."""
    server = SimulatedServer(limit=20, window=2)
    one = await known(server)
    held = await hold(one, 19)
    now = asyncio.get_running_loop().time()
    waiter = asyncio.create_task(one.acquire(deadline=now + 30))
    patient = asyncio.create_task(one.acquire(deadline=now + 300))
    await settle()
    one.answered(held[0], 429, {"retry-after": "120"})
    with pytest.raises(RateLimitedError) as caught:
        await waiter
    assert caught.value.retry_after == pytest.approx(120)
    assert asyncio.get_running_loop().time() == now
    assert await patient
    assert asyncio.get_running_loop().time() >= now + 120


@virtual
async def test_a_wait_ends_at_its_deadline() -> None:
    """While a probe is out nobody knows when there is a turn; the deadline ends the wait."""
    one = limiter()
    await one.acquire()
    with pytest.raises(RateLimitedError, match="depends on an answer") as caught:
        await one.acquire(deadline=START + 7)
    assert caught.value.retry_after is None
    assert asyncio.get_running_loop().time() == pytest.approx(START + 7)
    assert one.quota().waiting == 0


@virtual
async def test_a_click_passes_ahead_of_a_backfill() -> None:
    """A higher priority waits for few turns, and the lower is not starved."""
    one, server = limiter(), SimulatedServer(limit=20, window=2)
    clicks: list[float] = []

    async def click() -> None:
        began = asyncio.get_running_loop().time()
        permit = await one.acquire(priority=10)
        clicks.append(asyncio.get_running_loop().time() - began)
        one.answered(permit, *await server.request())

    async def clicking() -> None:
        for _ in range(20):
            await asyncio.sleep(0.7)
            await click()

    backfill = asyncio.create_task(use_up(one, server, 400, 50))
    await clicking()
    await backfill
    assert max(clicks) < 2.3  # the next window's beginning, whatever waits before
    assert len(server.admitted) == 420


@virtual
async def test_the_quota_is_told() -> None:
    """The snapshot has the limit, what is left, the end of the window and who waits."""
    one = limiter()
    before = one.quota()
    assert (before.limit, before.remaining, before.source) == (None, None, "unknown")
    server = SimulatedServer(limit=60, window=60)
    await call(one, server)
    await hold(one, 2)
    told = one.quota()
    assert (told.limit, told.remaining, told.in_flight, told.waiting) == (60, 57, 2, 0)
    assert told.source == "server"
    assert told.resets_at is not None
    ends = told.resets_at.timestamp() - VirtualClock().time()
    assert 0 < ends <= 61.1
    assert told.resets_at.utcoffset() is not None


@virtual
async def test_a_configured_tier_is_told() -> None:
    """Where no header comes, the snapshot says that the quota is our own."""
    one, server = limiter(tier="starter"), SimulatedServer(style="none", limit=10**9)
    await call(one, server)
    told = one.quota()
    assert (told.limit, told.remaining, told.source) == (60, 59, "configured")


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "bursty"},
        {"reserve": -1},
        {"reserve": float("nan")},
        {"reserve": True},
        {"reserve": "5"},
        {"tier": "gold"},
        {"tier": 0},
        {"tier": -60},
        {"tier": 60.5},
        {"tier": True},
    ],
)
def test_senseless_settings_are_refused(options: dict[str, object]) -> None:
    """An argument that cannot be meant is named."""
    name = next(iter(options))
    with pytest.raises(ConfigurationError, match=name):
        RateLimiter(**options)  # type: ignore[arg-type]


def test_one_loop_after_another() -> None:
    """What is known of the quota outlives the event loop in which it was learnt."""
    one = RateLimiter()
    spent: list[int] = []

    async def spend() -> None:
        for _ in range(3):
            permit = await one.acquire()
            spent.append(permit.number)
            one.answered(
                permit,
                200,
                {
                    "x-ratelimit-limit": "100",
                    "x-ratelimit-remaining": str(100 - len(spent)),
                    "x-ratelimit-reset": "55",
                },
            )

    for _ in range(3):
        asyncio.run(spend())
    assert spent == list(range(1, 10))
    assert one.quota().remaining == 91


def test_a_loop_that_ended_hinders_no_later_one() -> None:
    """Tasks that waited, and a probe that was out, when a loop ended are let go."""
    one = RateLimiter()

    async def leave() -> None:
        await one.acquire()
        for _ in range(5):
            asyncio.ensure_future(one.acquire())  # noqa: RUF006 - left behind on purpose
        await asyncio.sleep(0)

    async def go_on() -> None:
        async with asyncio.timeout(5):
            one.answered(await one.acquire(), 200, {})
            await asyncio.gather(*(one.acquire() for _ in range(100)))

    asyncio.run(leave())
    assert one.quota().waiting == 0
    asyncio.run(go_on())


def test_two_loops_at_once_are_refused() -> None:
    """A limiter that works for a running loop says so to another thread's."""
    one = RateLimiter()
    ready, done = threading.Event(), threading.Event()

    async def keep() -> None:
        await one.acquire()
        ready.set()
        await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(keep()))
    thread.start()
    ready.wait()

    async def intrude() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await one.acquire()

    try:
        asyncio.run(intrude())
    finally:
        done.set()
        thread.join()
