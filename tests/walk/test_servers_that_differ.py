"""Servers that round bounds, limit pages, have a wrong clock, or send wrong answers."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import (
    IottlyError,
    NotFoundError,
    PageOrderError,
    UnauthorizedError,
)
from iottly_async.models.cursor import Order
from iottly_async.models.message_batch import MessageBatch
from iottly_async.walk import Fetched, PageRequest, Quirks, WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import WALL_START, run_virtual, virtual

from .streams import PAGE, Case, cases, counted, rows_of, walk

FORMS = [(1, True), (4, True), (4, False)]
"""Concurrency and order of the three forms of a walk."""


QUERY = WalkQuery(project_id="p1", device_id="d1")


async def collect(
    server: MessageServer, asked: WalkQuery, settings: WalkSettings, form: tuple[int, bool]
) -> list[MessageBatch]:
    concurrency, ordered = form
    walk = batches(
        server.fetch,
        asked,
        settings=settings,
        concurrency=concurrency,
        ordered=ordered,
        clock=server.clock,
        history=server.history,
    )
    return [batch async for batch in walk]


async def drain(walk: AsyncGenerator[MessageBatch, None], into: list[MessageBatch]) -> None:
    async for batch in walk:
        into += [batch]  # one by one, so that those before an error are kept


def seen(got: list[MessageBatch]) -> Counter[tuple[int, bytes]]:
    return Counter(identity(message) for batch in got for message in batch.messages)


@given(case=cases(), unit=st.sampled_from([1000, 60_000, 86_400_000]), both=st.booleans())
def test_bounds_rounded_down_lose_and_repeat_nothing(case: Case, unit: int, both: bool) -> None:
    """A `from` that the server rounds to a second, a minute or a day, and a `to` that it
    rounds to a second, make no difference to the messages of a walk."""

    async def main() -> None:
        server = MessageServer(
            case.rows(),
            limit=PAGE,
            round_from=unit,
            round_to=1000 if both else 1,
            jitter=0.8,
            seed=case.seed,
        )
        walked = await walk(server, case, WalkSettings(page_size=PAGE))
        truth = server.truth(case.start, case.end, case.type)
        assert Counter(map(identity, walked.messages)) == counted(truth)

    run_virtual(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("group", [1, 2, PAGE, 3 * PAGE, 3 * PAGE + 1])
@virtual
async def test_downward_an_upper_bound_rounded_down_loses_nothing(
    form: tuple[int, bool], group: int
) -> None:
    """A group within a second is missing if the server rounds `to` down to the second. It is
    requested again with a wider bound, and found."""
    rows = [Row(NOW_MS - 60_000 + 1370 * (n // group), b"%d" % n) for n in range(30 * group)]
    server = MessageServer(rows, limit=PAGE, round_to=1000)
    asked = WalkQuery(project_id="p1", device_id="d1", order="desc")
    got = await collect(server, asked, WalkSettings(page_size=PAGE), form)
    assert seen(got) == counted(rows)


@given(seed=st.integers(0, 2**16), form=st.sampled_from(FORMS))
def test_retention_on_a_server_that_rounds(seed: int, form: tuple[int, bool]) -> None:
    """Page numbers shift when messages are deleted; all messages that remain come."""

    async def main() -> None:
        rows = rows_of([("even", 4000, 250)], seed=seed)
        server = MessageServer(rows, limit=20, round_from=60_000, jitter=0.5, seed=seed)
        deleted = 0

        def retain(_: PageRequest, number: int) -> None:
            nonlocal deleted
            if number % 3 == 0:
                deleted += 7
                server.delete_before(rows[min(deleted, len(rows) - 1)].at)

        server.before = retain
        got = seen(await collect(server, QUERY, WalkSettings(page_size=20), form))
        assert not counted(server.truth()) - got
        assert not got - counted(rows)

    run_virtual(main)


@given(
    seed=st.integers(0, 2**16),
    order=st.sampled_from(["asc", "desc"]),
    form=st.sampled_from(FORMS),
    dense=st.sampled_from([50, 1000, 30_000]),
)
def test_rounded_bounds_with_unstable_ties(
    seed: int, order: str, form: tuple[int, bool], dense: int
) -> None:
    """If several pages lie in one second, the next page overlaps with what is held back. So
    nothing is lost if ties come in another order every time."""

    async def main() -> None:
        rows = rows_of([("even", dense, 300)], seed=seed)
        tied = Counter(row.at for row in rows)
        rows = [row for row in rows if tied[row.at] <= 8]
        server = MessageServer(rows, limit=30, round_from=1000, unstable=True, seed=seed)
        asked = WalkQuery(
            project_id="p1", device_id="d1", order="asc" if order == "asc" else "desc"
        )
        got = await collect(server, asked, WalkSettings(page_size=30), form)
        assert seen(got) == counted(rows)

    run_virtual(main)


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(["group", "even"]), st.integers(1, 39_000), st.integers(1, 260)),
        max_size=4,
    ),
    order=st.sampled_from(["asc", "desc"]),
    form=st.sampled_from(FORMS),
    by_asked=st.booleans(),
)
def test_pages_limited_to_fifty_are_not_the_last(
    parts: list[tuple[str, int, int]], order: str, form: tuple[int, bool], by_asked: bool
) -> None:
    """If a server sends 50 messages whatever is requested, nothing is lost, not even of groups
    of more than a page, whichever size its page numbers count in."""

    async def main() -> None:
        rows = rows_of(parts)
        server = MessageServer(rows, limit=50, skips_by_asked=by_asked)
        asked = WalkQuery(
            project_id="p1", device_id="d1", order="asc" if order == "asc" else "desc"
        )
        got = await collect(server, asked, WalkSettings(), form)
        assert seen(got) == counted(rows)

    run_virtual(main)


@virtual
async def test_a_short_page_costs_a_request_only_if_it_may_be_limited() -> None:
    """A first page of ten or more messages that is not full costs one more request, for a
    server may limit pages to its own size. After a longer page, or on a known server, it costs
    none."""
    quirks = Quirks()
    for many, requests in [(9, 1), (50, 2), (49, 1), (51, 2), (149, 2), (99, 1), (52, 1)]:
        server = MessageServer([Row(NOW_MS - 90_000 + n) for n in range(many)])
        await collect(server, QUERY, WalkSettings(quirks=quirks), FORMS[0])
        assert server.requests == requests, many


@virtual
async def test_a_message_that_comes_late_does_not_change_the_quirks() -> None:
    """If one message becomes visible after a first page, the page is not considered limited:
    later short pages cost no second request."""
    quirks, late = Quirks(), Row(NOW_MS - 50_000, b"late")
    server = MessageServer([Row(NOW_MS - 90_000 + n, b"%d" % n) for n in range(40)])
    server.append(late, visible_at_ms=NOW_MS + 60)
    got = await collect(server, QUERY, WalkSettings(quirks=quirks), FORMS[0])
    assert late.payload in {payload for _, payload in seen(got)}
    assert not quirks.short_pages
    again = MessageServer([Row(NOW_MS - 90_000 + n) for n in range(30)])
    await collect(again, QUERY, WalkSettings(quirks=quirks), FORMS[0])
    assert again.requests == 1


@pytest.mark.parametrize("limit", [11, 20, 66, 99])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_pages_limited_to_any_size_are_not_the_last(
    limit: int, order: Order, form: tuple[int, bool]
) -> None:
    """Whatever the size to which a server limits its pages, nothing is lost."""
    rows = rows_of([("even", 39_000, 300), ("group", 20_000, 130), ("even", 200, 40)])
    server = MessageServer(rows, limit=limit)
    asked = WalkQuery(project_id="p1", device_id="d1", order=order)
    assert seen(await collect(server, asked, WalkSettings(), form)) == counted(rows)


@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_a_page_out_of_order_is_never_yielded(form: tuple[int, bool]) -> None:
    """The walk ends with an error that names the device, and yields no message of the page."""
    rows = [Row(NOW_MS - 900_000 + 1000 * n, b"%d" % n) for n in range(600)]
    server = MessageServer(rows)

    async def fetch(request: PageRequest) -> Fetched:
        fetched = await server.fetch(request)
        if server.requests < 3:
            return fetched
        return Fetched(messages=[*fetched.messages][::-1], server_time=fetched.server_time)

    got: list[MessageBatch] = []
    walk = batches(
        fetch,
        QUERY,
        settings=WalkSettings(),
        concurrency=form[0],
        ordered=form[1],
        clock=server.clock,
        history=server.history,
    )
    with pytest.raises(PageOrderError, match="d1"):
        await drain(walk, got)
    times = [message.timestamp for batch in got for message in batch.messages]
    assert len(times) < 300
    assert len(set(times)) == len(times)


@pytest.mark.parametrize("error", [NotFoundError("HTML", status=404), UnauthorizedError("no")])
@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_an_error_in_the_middle_passes_through(
    form: tuple[int, bool], error: IottlyError
) -> None:
    """A 404 with a proxy's page, or a 401, is raised itself. Batches before it keep their
    cursors, and no task remains."""
    rows = [Row(NOW_MS - 90_000_000 + 1000 * n, b"%d" % n) for n in range(3000)]
    server = MessageServer(rows, jitter=0.5)

    def fail(_: PageRequest, number: int) -> None:
        if number == 12:
            raise error

    server.before = fail
    walk = batches(
        server.fetch,
        QUERY,
        settings=WalkSettings(),
        concurrency=form[0],
        ordered=form[1],
        clock=server.clock,
        history=server.history,
    )
    got: list[MessageBatch] = []
    with pytest.raises(IottlyError) as caught:
        await drain(walk, got)
    assert caught.value is error
    assert asyncio.all_tasks() == {asyncio.current_task()}
    cursor = got[-1].cursor
    assert cursor.count == sum(len(batch.messages) for batch in got)
    server.before = None
    rest = batches(server.fetch, QUERY, settings=WalkSettings(), cursor=cursor, clock=server.clock)
    await drain(rest, got)
    assert seen(got) == counted(rows)


@pytest.mark.parametrize("offset", [-5.0, 5.0])
@virtual
async def test_the_end_is_pinned_in_the_servers_clock(offset: float) -> None:
    """A walk ends at the server's present less the settle time, even if its clock is 5 s off."""
    server = MessageServer(clock_offset=offset)
    [batch] = await collect(server, QUERY, WalkSettings(settle=2.0), FORMS[0])
    assert batch.cursor.pinned_end == NOW_MS + (offset - 2.0) * 1000


@virtual
async def test_without_a_date_the_local_clock_pins_the_end() -> None:
    """Without a `Date`, the local clock is used."""
    server = MessageServer(dated=False)
    [batch] = await collect(server, QUERY, WalkSettings(settle=2.0), FORMS[0])
    assert batch.cursor.pinned_end == pytest.approx((WALL_START - 2.0) * 1000 + 50, abs=50)


@pytest.mark.parametrize("order", ["asc", "desc"])
@virtual
async def test_times_ahead_of_the_servers_clock_are_warned_of(
    order: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Naive times of another time zone lie in the server's future; one warning a walk says so."""
    rows = [Row(NOW_MS - 10_000 * n, b"%d" % n) for n in range(300)]
    server = MessageServer(rows, zone_ms=2 * 3_600_000)

    async def fetch(request: PageRequest) -> Fetched:
        # The server reads bounds as times of that zone as well.
        zone = 2 * 3_600_000
        start = None if request.start is None else request.start - zone
        end = None if request.end is None else request.end - zone
        moved = PageRequest(
            device_id=request.device_id,
            start=start,
            end=end,
            type=request.type,
            order=request.order,
            size=request.size,
            number=request.number,
        )
        return await server.fetch(moved)

    with caplog.at_level(logging.WARNING, logger="iottly_async"):
        asked = WalkQuery(
            project_id="p1", device_id="d1", order="asc" if order == "asc" else "desc"
        )
        walk = batches(fetch, asked, settings=WalkSettings(), clock=server.clock)
        async for _ in walk:
            pass
    [record] = [record for record in caplog.records if record.name == "iottly_async.walk"]
    assert "time zone" in record.getMessage()
    assert "d1" in record.getMessage()


@virtual
async def test_messages_within_the_settle_time_are_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A message of the last second is left for the next walk, without a warning."""
    server = MessageServer([Row(NOW_MS - 60_000), Row(NOW_MS - 1)])
    with caplog.at_level(logging.WARNING, logger="iottly_async"):
        got = await collect(server, QUERY, WalkSettings(), FORMS[0])
    assert [len(batch.messages) for batch in got] == [1]
    assert not [record for record in caplog.records if record.name == "iottly_async.walk"]
