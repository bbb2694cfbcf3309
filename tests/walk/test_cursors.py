"""Cursors: of another query, of another server, and from one form of the walk to another."""

from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import ConfigurationError, CursorMismatchError
from iottly_async.models.cursor import Cursor
from iottly_async.models.message import Message
from iottly_async.walk import WalkQuery, WalkSettings, batches, batches_many
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual, virtual

from .streams import PAGE, Case, cases, counted, walk

QUERY = WalkQuery(project_id="p1", device_id="d1", start=NOW_MS - 100_000, end=NOW_MS - 10_000)
SETTINGS = WalkSettings(page_size=PAGE)


def server_of(rows: int = 40) -> MessageServer:
    return MessageServer([Row(NOW_MS - 60_000 + 1000 * n, b"%d" % n) for n in range(rows)])


async def run(
    server: MessageServer, query: WalkQuery, *, batches_at_most: int | None = None, **how: Any
) -> tuple[list[Message], Cursor]:
    """Collect the messages and the last cursor of a walk, or of its first batches."""
    generator = batches(
        server.fetch,
        query,
        settings=SETTINGS,
        clock=server.clock,
        history=server.history,
        **how,
    )
    got: list[Message] = []
    number = 0
    async for batch in generator:
        got += batch.messages
        cursor = batch.cursor
        number += 1
        if number == batches_at_most:
            break
    await generator.aclose()
    return got, cursor


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project_id", "p2"),
        ("device_id", "d2"),
        ("type", "userdefined"),
        ("order", "desc"),
        ("start", NOW_MS - 99_999),
        ("end", NOW_MS - 9_999),
    ],
)
@virtual
async def test_a_cursor_of_another_query_is_refused_at_once(field: str, value: str | int) -> None:
    """The error says what differs, before anything is fetched or iterated."""
    server = server_of()
    _, cursor = await run(server, QUERY)
    other = attrs.evolve(QUERY, **{field: value})  # type: ignore[arg-type]
    before = server.requests
    with pytest.raises(CursorMismatchError, match=field) as caught:
        batches(server.fetch, other, settings=SETTINGS, cursor=cursor)
    assert repr(value) in str(caught.value)
    with pytest.raises(CursorMismatchError):
        batches_many(server.fetch, [other], settings=SETTINGS, cursors={other.device_id: cursor})
    assert server.requests == before


@virtual
async def test_an_open_range_is_taken_from_the_cursor() -> None:
    """A query without a range takes it from the cursor."""
    server = server_of()
    first, cursor = await run(server, QUERY, batches_at_most=3)
    rest, _ = await run(server, WalkQuery(project_id="p1", device_id="d1"), cursor=cursor)
    assert Counter(map(identity, first + rest)) == counted(server.truth())


@virtual
async def test_a_finished_walk_of_a_closed_range_makes_no_request() -> None:
    """Resumed, it yields a finished cursor at once."""
    server = server_of()
    _, cursor = await run(server, QUERY)
    before = server.requests
    again, finished = await run(server, QUERY, cursor=cursor)
    assert (again, finished.finished, server.requests) == ([], True, before)


@pytest.mark.parametrize("form", [(1, True), (3, True), (3, False)])
@virtual
async def test_an_open_walk_goes_on_with_what_is_new(form: tuple[int, bool]) -> None:
    """A walk without an end, finished a minute ago and resumed, yields what came since."""
    how = {"concurrency": form[0], "ordered": form[1]}
    server = server_of()
    query = WalkQuery(project_id="p1", device_id="d1")
    first, cursor = await run(server, query, **how)
    fresh = [Row(NOW_MS + 1000 * n, b"new %d" % n) for n in range(20)]
    for row in fresh:
        server.append(row, visible_at_ms=row.at)
    await server.clock.sleep(60)
    second, _ = await run(server, query, cursor=cursor, **how)
    assert len(first) == 40
    assert sorted(map(identity, second)) == [(row.at, row.payload) for row in fresh]


@virtual
async def test_a_walk_to_an_end_in_the_future_reaches_it_when_resumed_later() -> None:
    """A walk up to tomorrow ends at the server's present; resumed tomorrow, it ends there."""
    server = server_of()
    query = attrs.evolve(QUERY, end=NOW_MS + 86_400_000)
    _, cursor = await run(server, query)
    assert cursor.finished
    assert cursor.pinned_end < NOW_MS
    server.append(Row(NOW_MS + 1000, b"new"), visible_at_ms=NOW_MS + 1000)
    await server.clock.sleep(2 * 86_400)
    fresh, cursor = await run(server, query, cursor=cursor)
    assert [message.payload_json for message in fresh] == [b"new"]
    assert cursor.pinned_end == query.end


@virtual
async def test_a_descending_walk_keeps_the_end_that_it_started_with() -> None:
    """Messages that came later are not mixed into older ones."""
    server = server_of()
    query = WalkQuery(project_id="p1", device_id="d1", order="desc")
    first, cursor = await run(server, query, batches_at_most=2)
    server.append(Row(NOW_MS + 1, b"new"), visible_at_ms=NOW_MS + 1)
    await server.clock.sleep(3600)
    rest, finished = await run(server, query, cursor=cursor)
    assert Counter(map(identity, first + rest)) == counted(server.truth(None, NOW_MS))
    assert finished.pinned_end == cursor.pinned_end


@virtual
async def test_a_start_in_the_future_waits_for_its_time() -> None:
    """A walk from tomorrow on finds nothing today, and tomorrow only what is new then."""
    server = server_of()
    query = WalkQuery(project_id="p1", device_id="d1", start=NOW_MS + 86_400_000)
    nothing, cursor = await run(server, query)
    server.append(Row(NOW_MS + 1000, b"before"), visible_at_ms=NOW_MS + 1000)
    server.append(Row(NOW_MS + 86_401_000, b"after"), visible_at_ms=NOW_MS + 86_401_000)
    await server.clock.sleep(2 * 86_400)
    fresh, _ = await run(server, query, cursor=cursor)
    assert nothing == []
    assert [message.payload_json for message in fresh] == [b"after"]


@virtual
async def test_a_cursor_from_the_servers_future_is_refused() -> None:
    """A cursor behind a message of tomorrow would skip a day, so it is refused."""
    ahead = MessageServer([Row(NOW_MS + 86_000_000)], clock_offset=86_400)
    query = WalkQuery(project_id="p1", device_id="d1")
    _, cursor = await run(ahead, query)
    with pytest.raises(CursorMismatchError, match="another server"):
        await run(server_of(), query, cursor=cursor)


@virtual
async def test_a_clock_that_goes_back_repeats_nothing() -> None:
    """If a server's clock is set back a little between two walks, nothing comes again, and
    later messages are found."""
    query = WalkQuery(project_id="p1", device_id="d1")
    rows = [Row(NOW_MS - 30_000 + 1000 * n, b"%d" % n) for n in range(34)]
    first, cursor = await run(MessageServer(rows, clock_offset=9.0), query)
    behind = MessageServer(rows)
    nothing, cursor = await run(behind, query, cursor=cursor)
    behind.append(Row(NOW_MS + 20_000, b"later"), visible_at_ms=NOW_MS + 20_000)
    await behind.clock.sleep(60)
    rest, _ = await run(behind, query, cursor=cursor)
    assert nothing == []
    assert sorted(map(identity, first + rest)) == sorted(
        [(row.at, row.payload) for row in rows] + [(NOW_MS + 20_000, b"later")]
    )


@given(case=cases(), forms=st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2))
def test_any_form_resumes_where_another_stopped(case: Case, forms: list[tuple[int, bool]]) -> None:
    """A cursor of a parallel walk resumes a sequential one, and the reverse."""

    async def main() -> None:
        server = MessageServer(case.rows(), limit=PAGE, jitter=0.8, seed=case.seed)
        got: list[Message] = []
        cursor: Cursor | None = None
        for concurrency, ordered in forms:
            more, cursor = await run(
                server,
                case.query,
                cursor=cursor,
                concurrency=concurrency,
                ordered=ordered,
                batches_at_most=4,
            )
            got += more
        case.concurrency, case.crashes = 1, 0.0
        if cursor is None or not cursor.finished:
            more, _ = await run(server, case.query, cursor=cursor)
            got += more
        assert Counter(map(identity, got)) == counted(server.truth(case.start, case.end, case.type))

    run_virtual(main)


@virtual
async def test_a_stored_batch_never_comes_again() -> None:
    """The cursor moves only with its batch; what was fetched and not yielded comes again."""
    server = server_of()
    first, cursor = await run(server, QUERY, batches_at_most=1)
    await server.clock.sleep(10)
    rest, _ = await run(server, QUERY, cursor=cursor)
    assert [identity(message) for message in first + rest] == [
        (row.at, row.payload) for row in server.truth()
    ]


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_of_less_than_one_is_refused(concurrency: int) -> None:
    """The error comes at once, and names the value."""
    server = MessageServer()
    with pytest.raises(ConfigurationError, match=str(concurrency)):
        batches(server.fetch, QUERY, settings=SETTINGS, concurrency=concurrency)


@given(case=cases(crashes=False))
def test_a_cursor_survives_its_json(case: Case) -> None:
    """A cursor is equal to the one that is read back from its text."""

    async def main() -> None:
        server = MessageServer(case.rows(), limit=PAGE)
        walked = await walk(server, case, WalkSettings(page_size=PAGE, lookback=10.0))
        assert walked.cursor is not None
        assert Cursor.from_json(walked.cursor.to_json()) == walked.cursor
        done = walked.cursor.done
        assert done.tzinfo is not None

    run_virtual(main)


WRITTEN = Cursor(
    project_id="p1",
    device_id="d1",
    type="all",
    order="asc",
    start=None,
    end=None,
    remaining=((5, 7), (9, 12)),
    pinned_end=12,
).to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "nonsense",
        b"\xff\xfe",
        "[" * 5000,
        WRITTEN[:-1],
        WRITTEN.replace('"asc"', '"up"'),
        WRITTEN.replace('"remaining":[[5,7]', '"remaining":[[5,"7"]'),
        WRITTEN.replace('"pinned_end":12', '"pinned_end":null'),
        WRITTEN.replace('"pinned_end":12', '"pinned_end":NaN'),
    ],
)
def test_text_that_is_no_cursor_is_refused(text: str | bytes) -> None:
    """One error says what is expected, whatever the text is."""
    with pytest.raises(CursorMismatchError, match=r"not a cursor written by Cursor\.to_json"):
        Cursor.from_json(text)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"version":1', '"version":2', "version 2"),
        ('"device":"d1"', '"device":"d2"', "altered"),
        ('"type":"all"', '"type":"userdefined"', "altered"),
        ('"order":"asc"', '"order":"desc"', "altered"),
        ("[[5,7],[9,12]]", "[[9,12],[5,7]]", "altered"),
        ("[[5,7],[9,12]]", "[[5,10],[9,12]]", "altered"),
        ("[[5,7],[9,12]]", "[[7,5]]", "altered"),
        ("[[5,7],[9,12]]", "[[5,1000000000000000000]]", "altered"),
        ('"pinned_end":12', '"pinned_end":1000000000000000000', "altered"),
        ('"count":0', '"count":-1', "altered"),
    ],
)
def test_an_altered_cursor_is_refused(old: str, new: str, says: str) -> None:
    """Refused are another version, another query under the old fingerprint, intervals that
    overlap, and times that no calendar has."""
    assert old in WRITTEN
    with pytest.raises(CursorMismatchError, match=says):
        Cursor.from_json(WRITTEN.replace(old, new))
