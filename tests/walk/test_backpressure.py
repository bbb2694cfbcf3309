"""Prefetching, back-pressure, limits, and that no task or request remains."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.models.message_batch import MessageBatch
from iottly_async.walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches, batches_many
from tests.support.message_server import NOW_MS, MessageServer, Row
from tests.support.virtual_time import run_virtual, settle, virtual

QUERY = WalkQuery(project_id="p1", device_id="d1", start=NOW_MS - 90_000_000, end=NOW_MS - 10_000)
FORMS = [(1, True), (8, True), (8, False)]
PARALLEL = [(8, True), (8, False), (32, True), (32, False)]


def server_of(rows: int, **how: float) -> MessageServer:
    """Make a server with rows at even distances over a day."""
    step = 86_000_000 / max(1, rows)
    made = [Row(NOW_MS - 89_000_000 + int(step * n), b"%d" % n) for n in range(rows)]
    return MessageServer(made, **how)  # type: ignore[arg-type]


def walk(
    server: MessageServer, form: tuple[int, bool], **how: object
) -> AsyncGenerator[MessageBatch, None]:
    return batches(
        server.fetch,
        QUERY,
        settings=WalkSettings(),
        concurrency=form[0],
        ordered=form[1],
        clock=server.clock,
        **how,  # type: ignore[arg-type]
    )


@virtual
async def test_the_next_page_is_under_way_while_the_consumer_works() -> None:
    """A consumer that takes as long as a request does not double the time of the walk, and at
    most one page is fetched ahead."""
    server = server_of(3000, latency=1.0)
    clock = server.clock
    begin = clock.monotonic()
    taken = 0
    async with aclosing(walk(server, (1, True))) as messages:
        async for _ in messages:
            taken += 1
            await clock.sleep(1.0)
            assert server.requests <= taken + 2
    assert clock.monotonic() - begin < 1.1 * server.requests + 3


@pytest.mark.parametrize("form", PARALLEL)
@virtual
async def test_what_is_held_for_a_slow_consumer_is_bounded(form: tuple[int, bool]) -> None:
    """Without order, at most two pages are held for each request at once; in order, ten and
    those under way. The length of the range does not matter."""
    concurrency, ordered = form
    server = server_of(60_000)
    held = most = 0

    async def fetch(request: PageRequest) -> Fetched:
        nonlocal held, most
        fetched = await server.fetch(request)
        held += len(fetched.messages)
        most = max(most, held)
        return fetched

    generator = batches(
        fetch,
        QUERY,
        settings=WalkSettings(),
        concurrency=concurrency,
        ordered=ordered,
        clock=server.clock,
    )
    async with aclosing(generator):
        async for batch in generator:
            held -= len(batch.messages)
            await server.clock.sleep(0.04)
    pages = (10 + 1) * concurrency + 2 * concurrency if ordered else 2 * concurrency
    # What a page repeats of the one before is counted as held, and never delivered.
    repeated = held
    assert most - repeated <= 100 * pages
    assert server.peak <= concurrency


@virtual
async def test_messages_that_appear_behind_the_lookahead_are_bounded_too() -> None:
    """If 40,000 messages appear where the walk has planned for few, workers that are ahead
    wait, the first one does not, and what is held stays bounded."""
    server = server_of(20_000)
    held = most = 0

    def flood(_: PageRequest, number: int) -> None:
        if number == 60:
            begin = NOW_MS - 89_000_000 + 30_000_000
            for serial in range(40_000):
                row = Row(begin + 10 * serial, b"late %d" % serial)
                server.append(row, visible_at_ms=NOW_MS)

    async def fetch(request: PageRequest) -> Fetched:
        nonlocal held, most
        fetched = await server.fetch(request)
        held += len(fetched.messages)
        most = max(most, held)
        return fetched

    server.before = flood
    generator = batches(fetch, QUERY, settings=WalkSettings(), concurrency=16, clock=server.clock)
    count = 0
    async with aclosing(generator):
        async for batch in generator:
            held -= len(batch.messages)
            count += len(batch.messages)
            await server.clock.sleep(0.04)
    assert count > 30_000
    assert most - held <= 100 * (10 + 1 + 2) * 16


@virtual
async def test_the_first_worker_never_waits_for_another() -> None:
    """In order, a walk goes on at once after its consumer has paused for an hour."""
    server = server_of(60_000)
    generator = walk(server, (16, True))
    async with aclosing(generator):
        got = await anext(generator)
        await server.clock.sleep(3600)
        count = len(got.messages) + sum([len(batch.messages) async for batch in generator])
    assert count == 60_000


@pytest.mark.parametrize("form", PARALLEL)
@virtual
async def test_requests_at_once_follow_the_capacity(form: tuple[int, bool]) -> None:
    """There are never more requests under way than the quota can feed at that moment, and
    always at least one. When the capacity rises, so do the requests."""
    server = server_of(20_000)
    capacity_now: list[int | None] = [3]
    over = 0

    def watch(_: PageRequest, number: int) -> None:
        nonlocal over
        fed = capacity_now[0]
        over += server.under_way > max(1, fed or 99)
        if number == 60:
            capacity_now[0] = 6
        if number == 150:
            capacity_now[0] = None

    server.before = watch
    generator = walk(server, form, capacity=lambda: capacity_now[0])
    count = sum([len(batch.messages) async for batch in generator])
    assert count == 20_000
    assert over == 0
    assert server.peak > 6


@pytest.mark.parametrize("form", PARALLEL)
@virtual
async def test_a_capacity_that_falls_is_followed(form: tuple[int, bool]) -> None:
    """When the quota falls to nothing, the walk ends with one request at a time."""
    server = server_of(6000)
    fed = 8
    at_once: list[int] = []

    def watch(_: PageRequest, number: int) -> None:
        nonlocal fed
        if number == 20:
            fed = 0
        if number > 20 + form[0]:
            at_once.append(server.under_way)

    server.before = watch
    generator = walk(server, form, capacity=lambda: fed)
    assert sum([len(batch.messages) async for batch in generator]) == 6000
    assert set(at_once) == {1}


@contextmanager
def _nothing_left() -> Iterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("form", FORMS)
@given(moment=st.floats(0.0, 1.5))
def test_a_cancelled_walk_leaves_nothing(form: tuple[int, bool], moment: float) -> None:
    """After the consumer's task is cancelled, no task and no request remains."""

    async def main() -> None:
        server = server_of(4000, jitter=0.5)

        async def consume() -> None:
            async with aclosing(walk(server, form)) as generator:
                async for _ in generator:
                    await server.clock.sleep(0.01)

        with _nothing_left():
            task = asyncio.ensure_future(consume())
            await asyncio.wait([task], timeout=moment)
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        assert server.under_way == 0

    run_virtual(main)


@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_a_walk_that_is_closed_in_the_middle_leaves_nothing(form: tuple[int, bool]) -> None:
    """`break` and `aclose()` end all tasks and requests."""
    server = server_of(4000, jitter=0.5)
    with _nothing_left():
        generator = walk(server, form)
        async for _ in generator:
            break
        await generator.aclose()
    assert server.under_way == 0


@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_a_walk_that_is_dropped_ends_by_itself(form: tuple[int, bool]) -> None:
    """A generator that is dropped without `aclose()` leaves no task running."""
    server = server_of(4000, jitter=0.5)
    with _nothing_left():
        generator = walk(server, form)
        await anext(generator)
        del generator
        gc.collect()
        await settle(30)
    assert server.under_way == 0


@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_a_walk_that_is_never_iterated_makes_no_request(form: tuple[int, bool]) -> None:
    """A walk that is not iterated makes no request and no task."""
    server = server_of(400)
    with _nothing_left():
        generator = walk(server, form)
        await settle()
        await generator.aclose()
    assert server.requests == 0


@virtual
async def test_a_pool_of_devices_is_bounded_too() -> None:
    """With 300 devices and 8 requests at once, no more are under way and few pages are held."""
    rows = [
        Row(NOW_MS - 80_000_000 + 1000 * n, b"%d" % n, device=f"d{device}")
        for device in range(0, 300, 3)
        for n in range(30)
    ]
    server = MessageServer(rows, jitter=0.5)
    queries = [WalkQuery(project_id="p1", device_id=f"d{device}") for device in range(300)]
    generator = batches_many(
        server.fetch, queries, settings=WalkSettings(), concurrency=8, clock=server.clock
    )
    taken = 0
    async for batch in generator:
        taken += batch.cursor.finished
        await server.clock.sleep(0.1)
        assert server.requests <= taken + 3 * 8
    assert taken == 300
    assert server.peak == 8
    # The server may have limited the first pages, so some devices cost a second request.
    assert 300 <= server.requests <= 308
