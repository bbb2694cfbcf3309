"""The limiter with waiters, in virtual time."""

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
    """Acquire `count` permits and keep them."""
    return [await one.acquire() for _ in range(count)]


@virtual
async def test_permits_come_in_the_order_of_asking() -> None:
    """Waiters have their permits in the order of arrival, also across a window's end."""
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
    """A freed permit goes to a waiter, not to a call that asks at the same moment."""
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
    """Only the first end call of a permit counts."""
    server = SimulatedServer(limit=20)
    one = await known(server)
    permit = await one.acquire()
    for end in (one.unused, one.unused, one.lost):
        end(permit)
    one.answered(permit, 200, {})
    assert one.quota().in_flight == 0
    assert one.quota().remaining == 19


@virtual
async def test_a_cancelled_waiter_leaves_its_permit_to_the_next() -> None:
    """A waiter that is cancelled in the tick of its granting passes its permit on."""
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
async def test_cancelled_waiters_hold_no_permit() -> None:
    """Half of ten thousand waiters are cancelled at odd moments; all others have their permit."""
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
    """A request that was refused goes first after the cooldown."""
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
async def test_a_permit_too_late_fails_at_once() -> None:
    """If the next permit comes after the deadline, the error is raised at once and says when."""
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
    """If the queue fills more windows than the deadline allows, the error is raised at once."""
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
async def test_no_permit_is_kept_back_when_nothing_can_come_back() -> None:
    """When all that was sent has come back, more waiters than there are permits are served."""
    one = limiter()
    server = SimulatedServer(algorithm="bucket", limit=4, window=5, latency=(0, 0))

    async def wait() -> None:
        one.unused(await one.acquire())

    async with asyncio.timeout(3700), asyncio.TaskGroup() as group:
        permits = [await one.acquire()]
        for _ in range(3):
            one.answered(permits.pop(), *await server.request())
            permits.append(await one.acquire())
        one.answered(permits.pop(), *await server.request())
        assert one.quota().remaining == 0
        for _ in range(3):
            group.create_task(wait())
    assert not server.refused


@virtual
async def test_a_cooldown_ends_the_waits_that_it_makes_vain() -> None:
    """If a 429 moves the next permit beyond a waiter's deadline, the wait ends at once."""
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
    """While a probe is in flight the next permit is not known, and the deadline ends the wait."""
    one = limiter()
    await one.acquire()
    with pytest.raises(RateLimitedError, match="depends on an answer") as caught:
        await one.acquire(deadline=START + 7)
    assert caught.value.retry_after is None
    assert asyncio.get_running_loop().time() == pytest.approx(START + 7)
    assert one.quota().waiting == 0


@virtual
async def test_a_click_passes_ahead_of_a_backfill() -> None:
    """A higher priority waits for few permits, and the lower one is not starved."""
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
async def test_the_quota_is_shown() -> None:
    """The snapshot has the limit, what is left, the window's end, and how many wait."""
    one = limiter()
    before = one.quota()
    assert (before.limit, before.remaining, before.source) == (None, None, "unknown")
    server = SimulatedServer(limit=60, window=60)
    await call(one, server)
    await hold(one, 2)
    known = one.quota()
    assert (known.limit, known.remaining, known.in_flight, known.waiting) == (60, 57, 2, 0)
    assert known.source == "server"
    assert known.resets_at is not None
    ends = known.resets_at.timestamp() - VirtualClock().time()
    assert 0 < ends <= 61.1
    assert known.resets_at.utcoffset() is not None


@virtual
async def test_a_configured_tier_is_shown() -> None:
    """Without headers the snapshot says that the quota is configured."""
    one, server = limiter(tier="starter"), SimulatedServer(style="none", limit=10**9)
    await call(one, server)
    known = one.quota()
    assert (known.limit, known.remaining, known.source) == (60, 59, "configured")


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
def test_wrong_settings_are_refused(options: dict[str, object]) -> None:
    """The error names the wrong argument."""
    name = next(iter(options))
    with pytest.raises(ConfigurationError, match=name):
        RateLimiter(**options)  # type: ignore[arg-type]


def test_one_loop_after_another() -> None:
    """What was learned of the quota outlives the event loop."""
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


def test_a_loop_that_has_ended_holds_up_no_later_one() -> None:
    """Waiters and a probe of an event loop that has ended do not hold up the next loop."""
    one = RateLimiter()

    async def leave() -> None:
        await one.acquire()
        for _ in range(5):
            asyncio.ensure_future(one.acquire())  # noqa: RUF006 - left behind on purpose
        await asyncio.sleep(0)

    async def go_on() -> None:
        async with asyncio.timeout(5):
            one.answered(await one.acquire(), 200, {})
            await asyncio.gather(*(one.acquire() for _ in range(10)))

    asyncio.run(leave())
    assert one.quota().waiting == 0
    asyncio.run(go_on())


def test_calls_left_behind_are_not_counted_as_waiting() -> None:
    """Calls that waited when their loop was closed are dropped; `waiting` is never negative."""
    one = RateLimiter()

    async def start() -> list[asyncio.Task[Permit]]:
        await one.acquire()
        tasks = [asyncio.ensure_future(one.acquire()) for _ in range(5)]
        await asyncio.sleep(0)
        return tasks

    async def go_on() -> None:
        one.answered(await one.acquire(), 200, {})
        assert one.quota().waiting == 0

    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(start())
    loop.close()
    asyncio.run(go_on())
    for task in tasks:
        task.get_coro().close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert one.quota().waiting == 0
    asyncio.run(go_on())


def test_two_loops_at_once_are_refused() -> None:
    """A limiter that works for a running loop refuses the loop of another thread."""
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
