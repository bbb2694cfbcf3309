"""How many requests walks make, and how many rows they make the server skip."""

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iottly_async.models.cursor import Order
from iottly_async.walk import Quirks, WalkQuery, WalkSettings, batches, batches_many
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual, virtual

from .request_count import requests_for
from .streams import BEGIN, PAGE, SPAN, Case, cases

DAY = 86_400_000
FULL = 100


@cache
def stream(rows: int, ties: int = 1, seed: int = 0, span: int = 30 * DAY) -> list[Row]:
    """Make `rows` rows over 30 days, in groups of 1 to `ties` that share a millisecond."""
    chance = random.Random(seed)
    times: list[int] = []
    while len(times) < rows:
        times += [NOW_MS - DAY - chance.randrange(span)] * chance.randint(1, ties)
    return [Row(at, b"%d" % serial) for serial, at in enumerate(sorted(times[:rows]))]


@cache
def bursts(rows: int, seed: int = 0) -> list[Row]:
    """Make twelve bursts of minutes to an hour within a year."""
    chance = random.Random(seed)
    times: list[int] = []
    for _ in range(12):
        start = NOW_MS - DAY - chance.randrange(365 * DAY)
        length = chance.choice([60_000, 600_000, 3_600_000])
        times += [start + chance.randrange(length) for _ in range(rows // 12)]
    return [Row(at, b"%d" % serial) for serial, at in enumerate(sorted(times))]


def ideal(rows: int) -> int:
    return max(1, -(-rows // FULL))


async def requests_of(
    rows: list[Row], concurrency: int, ordered: bool, order: Order = "asc"
) -> MessageServer:
    """Walk over a server with `rows`, check that every row came once, and return the server."""
    server = MessageServer(rows, jitter=0.5)
    query = WalkQuery(
        project_id="p1", device_id="d1", order=order, start=rows[0].at - DAY, end=rows[-1].at + DAY
    )
    generator = batches(
        server.fetch,
        query,
        settings=WalkSettings(),
        concurrency=concurrency,
        ordered=ordered,
        clock=server.clock,
    )
    seen = [identity(message) async for batch in generator for message in batch.messages]
    assert sorted(seen) == sorted((row.at, row.payload) for row in rows)
    return server


@given(case=cases(concurrency=st.just(1), crashes=False))
def test_a_sequential_walk_makes_the_requests_that_keyset_pagination_needs(case: Case) -> None:
    """Without proofs, they are as many as computed from the times, or one fewer: after a last
    millisecond that ends with the range, nothing is requested. On a server whose quirks are not
    known yet, a millisecond of more than a page costs four more."""

    async def main() -> None:
        rows = case.rows()
        query = WalkQuery(project_id="p1", device_id="d1", start=BEGIN, end=BEGIN + SPAN)
        needed = requests_for([row.at for row in rows], PAGE)
        known = Quirks()
        known.lower_inclusive = known.numbers_used = known.numbers_verified = True
        for quirks, more in [(known, 0), (Quirks(), 4)]:
            server = MessageServer(rows, limit=PAGE, seed=case.seed)
            settings = WalkSettings(page_size=PAGE, quirks=quirks, verify_ties=False)
            async for _ in batches(server.fetch, query, settings=settings, clock=server.clock):
                pass
            assert needed - 1 <= server.requests <= needed + more

    run_virtual(main)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(("ties", "factor"), [(1, 1.02), (5, 1.03)])
@virtual
async def test_sequential_walks_make_hardly_more_requests_than_pages(
    ties: int, factor: float, order: Order
) -> None:
    """They make 1.02 times the fewest requests, and 1, without ties; 1.03 times with up to five
    messages a millisecond. They send no page number."""
    server = await requests_of(stream(20_000, ties), 1, ordered=True, order=order)
    assert server.requests <= factor * ideal(20_000) + 1
    assert server.skipped == 0


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("concurrency", [8, 32])
@pytest.mark.parametrize("make", [stream, bursts], ids=["even", "bursty"])
@virtual
async def test_walks_without_order_skip_nothing_and_stay_within_five_percent(
    make: type, concurrency: int, order: Order
) -> None:
    """They make at most 1.05 times the fewest requests, and 8. They send no page number."""
    rows = make(20_000)
    server = await requests_of(rows, concurrency, ordered=False, order=order)
    assert server.requests <= 1.05 * ideal(len(rows)) + 8
    assert server.skipped == 0
    assert server.peak <= concurrency


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("days", [0, 300], ids=["until now", "ended long ago"])
@virtual
async def test_a_range_without_ends_is_split_as_well(days: int, order: Order) -> None:
    """From the oldest message to the server's present, even if the device's last message is
    old, a walk with 16 requests at once is at least 10 times as fast as with one."""
    rows = [row._replace(at=row.at - days * DAY) for row in stream(20_000)]
    spent = []
    for concurrency in (1, 16):
        server = MessageServer(rows, jitter=0.5)
        query = WalkQuery(project_id="p1", device_id="d1", order=order)
        begin = server.clock.monotonic()
        walk = batches(
            server.fetch,
            query,
            settings=WalkSettings(),
            concurrency=concurrency,
            ordered=False,
            clock=server.clock,
        )
        assert sum([len(batch.messages) async for batch in walk]) == 20_000
        assert server.requests <= 1.05 * ideal(20_000) + 9
        spent.append(server.clock.monotonic() - begin)
    assert spent[0] > 10 * spent[1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("concurrency", [8, 32])
@pytest.mark.parametrize("make", [stream, bursts], ids=["even", "bursty"])
@virtual
async def test_walks_in_order_stay_within_six_percent(
    make: type, concurrency: int, order: Order
) -> None:
    """They make at most 1.06 times the fewest requests, and 8."""
    rows = make(20_000)
    server = await requests_of(rows, concurrency, ordered=True, order=order)
    assert server.requests <= 1.06 * ideal(len(rows)) + 8
    assert server.peak <= concurrency


@virtual
async def test_an_empty_range_costs_one_request() -> None:
    """In every form, it costs one request and ends with a finished cursor."""
    for concurrency, ordered in [(1, True), (8, True), (8, False)]:
        server = MessageServer()
        query = WalkQuery(project_id="p1", device_id="d1", start=BEGIN, end=BEGIN + 1)
        walk = batches(
            server.fetch,
            query,
            settings=WalkSettings(),
            concurrency=concurrency,
            ordered=ordered,
            clock=server.clock,
        )
        assert [(batch.messages, batch.cursor.finished) async for batch in walk] == [([], True)]
        assert server.requests == 1


@pytest.mark.parametrize("moment", [0, 1, 500, 999])
@pytest.mark.parametrize(("page", "rows"), [(5, 50), (10, 500)])
def test_a_newest_millisecond_of_whole_pages_is_read_a_few_times(
    moment: int, page: int, rows: int
) -> None:
    """If it ends between two pages, a descending walk requests a page that overlaps both. That
    one shows that nothing lies between, so that no single milliseconds are requested."""

    async def main() -> None:
        server = MessageServer([Row(BEGIN + moment, b"%d" % n) for n in range(rows)], limit=page)
        query = WalkQuery(project_id="p1", device_id="d1", order="desc")
        walk = batches(
            server.fetch, query, settings=WalkSettings(page_size=page), clock=server.clock
        )
        assert sum([len(batch.messages) async for batch in walk]) == rows
        assert server.requests <= 3 * rows // page + 8

    run_virtual(main)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), devices=st.integers(1, 40), concurrency=st.integers(1, 32))
def test_many_devices_in_one_pool(seed: int, devices: int, concurrency: int) -> None:
    """Every message of every device comes once, each device ends with a finished cursor, and
    the requests are hardly more than those of sequential walks."""

    async def main() -> None:
        chance = random.Random(seed)
        rows = [
            Row(NOW_MS - 10 * DAY + chance.randrange(9 * DAY), b"%d" % serial, device=f"d{number}")
            for number in range(devices)
            for serial in range(chance.choice([0, 0, 3, 30, 300, 2000 if number < 2 else 5]))
        ]
        server = MessageServer(rows, jitter=0.5)
        queries = [WalkQuery(project_id="p1", device_id=f"d{n}") for n in range(devices)]
        got: dict[str, list[tuple[int, bytes]]] = {query.device_id: [] for query in queries}
        finished: list[str] = []
        async for batch in batches_many(
            server.fetch,
            queries,
            settings=WalkSettings(),
            concurrency=concurrency,
            clock=server.clock,
        ):
            got[batch.cursor.device_id] += map(identity, batch.messages)
            finished += [batch.cursor.device_id] * batch.cursor.finished
        alone = 0
        for device, seen in got.items():
            truth = server.truth(device=device)
            assert sorted(seen) == sorted((row.at, row.payload) for row in truth)
            alone += requests_for([row.at for row in truth], FULL)
        assert sorted(finished) == sorted(got)
        # In so short a walk, each of the first thirteen splits may bring nothing.
        assert server.requests <= 1.05 * alone + 14
        assert server.peak <= concurrency

    run_virtual(main)
