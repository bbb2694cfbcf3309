"""Rows that are no messages, anywhere on pages: all others come once, and they are told (D8)."""

import logging
import random
from collections import Counter
from contextlib import aclosing
from itertools import groupby

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from iottly_async.errors import DecodeError
from iottly_async.models.bad_row import BadRow
from iottly_async.models.cursor import Cursor, Order
from iottly_async.walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches, batches_many
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual, virtual

from .streams import PAGE, Case, cases, counted

SKIP = WalkSettings(on_bad_row="skip")
QUERY = WalkQuery(project_id="p1", device_id="d1")
FORMS = [(1, True), (4, True), (4, False)]


def spoiled(rows: list[Row], seed: int, share: float) -> list[Row]:
    """Make a share of the rows bad, so few beside each other that no page has only such rows."""
    chance = random.Random(seed)
    result: list[Row] = []
    near: list[bool] = []
    for _, group in groupby(rows, lambda row: row.at):
        members = list(group)
        allowed = 1 - sum(near[-PAGE:])  # in any order of the group
        for row in members:
            bad = chance.random() < share and allowed > 0
            allowed -= bad
            near.append(bad)
            result.append(row._replace(bad=bad, payload=b"bad %d" % row.serial) if bad else row)
    return result


def good(rows: list[Row]) -> Counter[tuple[int, bytes]]:
    """What a walk yields of rows."""
    return counted([row for row in rows if not row.bad])


def raw(rows: list[Row]) -> list[bytes]:
    """The bytes of bad rows, sorted."""
    return sorted(row.payload for row in rows if row.bad)


@pytest.mark.parametrize(
    ("concurrency", "ordered"), FORMS, ids=["sequential", "in order", "any order"]
)
@given(data=st.data(), share=st.sampled_from([0.02, 0.2, 0.6]))
def test_nothing_is_lost_or_repeated_beside_bad_rows(
    data: st.DataObject, concurrency: int, ordered: bool, share: float
) -> None:
    """In every form, both orders, ties of any size, and resumed after each few batches: every
    message comes once, and every bad row of the range is told."""
    case: Case = data.draw(cases(concurrency=st.just(concurrency), ordered=ordered, crashes=False))
    stop = data.draw(st.sampled_from([1, 2, 5, 1000]))
    case.payloads, case.type = 1000, "all"
    rows = spoiled(case.rows(), case.seed, share)
    truth = MessageServer(rows).truth(case.start, case.end)
    assume(not truth or good(truth))  # a range without a message is an error

    async def main() -> None:
        server = MessageServer(rows, limit=PAGE, unstable=case.unstable, jitter=0.8, seed=case.seed)
        got: Counter[tuple[int, bytes]] = Counter()
        rejected: list[bytes] = []
        cursor: Cursor | None = None
        while cursor is None or not cursor.finished:
            walk = batches(
                server.fetch,
                case.query,
                settings=WalkSettings(page_size=PAGE, on_bad_row="skip"),
                cursor=cursor,
                concurrency=concurrency,
                ordered=ordered,
                clock=server.clock,
                history=server.history,
            )
            number = 0
            async for batch in walk:
                got.update(map(identity, batch.messages))
                rejected += [row.raw for row in batch.rejected]
                cursor = Cursor.from_json(batch.cursor.to_json())
                number += 1
                if number == stop:
                    break
            await walk.aclose()
        assert got == good(truth)
        assert {*rejected} >= {*raw(truth)}
        assert {*rejected} <= {*raw(rows)}
        if stop == 1000:
            assert len(rejected) == len({*rejected})

    run_virtual(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@virtual
async def test_requests_stay_within_their_bounds(order: Order, form: tuple[int, bool]) -> None:
    """A page with bad rows is requested twice. Each bad row is told once, with its bytes."""
    chance = random.Random(7)
    times = sorted(NOW_MS - 86_400_000 - chance.randrange(10**9) for _ in range(10_000))
    rows = [Row(at, b"%d" % n, serial=n, bad=n % 1000 == 3) for n, at in enumerate(times)]
    server = MessageServer(rows)
    query = WalkQuery(project_id="p1", device_id="d1", order=order)
    walk = batches(
        server.fetch, query, settings=SKIP, concurrency=form[0], ordered=form[1], clock=server.clock
    )
    got, rejected = [], []
    async for batch in walk:
        got += batch.messages
        rejected += batch.rejected
    assert Counter(map(identity, got)) == good(rows)
    assert sorted(row.raw for row in rejected) == raw(rows)
    assert server.requests <= 1.06 * 100 + 8 + 10
    assert server.skipped == 0 or form == (4, True)


@pytest.mark.parametrize("place", ["first", "last", "lonely", "page's end"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@virtual
async def test_bad_rows_at_the_ends(order: Order, place: str) -> None:
    """A bad row may be the first, the last, the only one behind a full page, or end a page."""
    at = {"first": [0], "last": [249], "lonely": [200], "page's end": [98, 99, 100]}[place]
    many = 201 if place == "lonely" else 250
    rows = [Row(NOW_MS - 100_000 + n, b"%d" % n, bad=n in at) for n in range(many)]
    server = MessageServer(rows)
    query = WalkQuery(project_id="p1", device_id="d1", order=order)
    walk = [b async for b in batches(server.fetch, query, settings=SKIP, clock=server.clock)]
    assert Counter(identity(m) for b in walk for m in b.messages) == good(rows)
    assert sorted(row.raw for b in walk for row in b.rejected) == raw(rows)


@virtual
async def test_by_default_a_bad_row_ends_the_walk_with_its_path() -> None:
    """The page is requested once more; then the walk raises `DecodeError`. Of many devices, only
    that one ends."""
    rows = [Row(NOW_MS - 100_000 + n, b"%d" % n, bad=n == 150) for n in range(250)]
    server = MessageServer([*rows, Row(NOW_MS - 90_000, device="d2")])
    walk = batches(server.fetch, QUERY, settings=WalkSettings(), clock=server.clock)
    first = await anext(walk)
    assert len(first.messages) == 99
    with pytest.raises(DecodeError, match="expected an object") as caught:
        await anext(walk)
    assert caught.value.path == "$.messages[51]"
    assert server.requests == 3
    queries = [QUERY, attrs.evolve(QUERY, device_id="d2")]
    many = batches_many(server.fetch, queries, settings=SKIP, clock=server.clock)
    assert sum([len(batch.messages) async for batch in many]) == 250


@virtual
async def test_bad_rows_beside_a_large_millisecond_do_not_blame_page_numbers() -> None:
    """A bad row between a millisecond that fills a page and the next one may belong to either:
    the walk does not take it for a wrong number of the page."""
    for spoilt in range(10):
        times = [0] * 4 + [1] * 4 + [1000] * 2
        rows = [
            Row(NOW_MS - 100_000 + at, b"%d" % n, serial=n, bad=n in (spoilt, spoilt - 5))
            for n, at in enumerate(times)
        ]
        server = MessageServer(rows, limit=PAGE)
        settings = attrs.evolve(SKIP, page_size=PAGE)
        cursor: Cursor | None = None
        got: list[bytes] = []
        while cursor is None or not cursor.finished:
            walk = batches(
                server.fetch, QUERY, settings=settings, cursor=cursor, clock=server.clock
            )
            async with aclosing(walk):
                batch = await anext(walk)
                got += [one.payload_json for one in batch.messages]
                cursor = batch.cursor
        assert sorted(got) == sorted(row.payload for row in rows if not row.bad)


class Flaky:
    """A server whose answers have a bad row in place of a message, as often as `times` says."""

    def __init__(self, server: MessageServer, times: int) -> None:
        self.times = times
        self._server = server
        self._chance = random.Random(1)

    async def fetch(self, request: PageRequest) -> Fetched:
        """Answer as the server, but for one row."""
        fetched = await self._server.fetch(request)
        if not self.times or not fetched.messages:
            return fetched
        self.times -= 1
        messages = [*fetched.messages]
        index = self._chance.randrange(len(messages))
        garbled = messages.pop(index)
        row = BadRow(index=index, path="$", raw=garbled.payload_json + b"?", reason="garbled")
        return attrs.evolve(fetched, messages=messages, bad_rows=[row])


@pytest.mark.parametrize("settings", [SKIP, WalkSettings()], ids=["skip", "raise"])
@pytest.mark.parametrize("times", [1, 3])
@virtual
async def test_a_fault_that_passes_is_no_bad_row(settings: WalkSettings, times: int) -> None:
    """A row that is garbled in one answer, and another one in the next, comes as a message."""
    rows = [Row(NOW_MS - 100_000 + n, b"%d" % n) for n in range(250)]
    server = MessageServer(rows)
    flaky = Flaky(server, times)
    walk = [b async for b in batches(flaky.fetch, QUERY, settings=settings, clock=server.clock)]
    assert Counter(identity(m) for b in walk for m in b.messages) == good(rows)
    assert not [row for b in walk for row in b.rejected]
    assert server.requests == 3 + times


@pytest.mark.parametrize("settings", [SKIP, WalkSettings()], ids=["skip", "raise"])
@virtual
async def test_answers_that_are_garbled_without_end_are_an_error(settings: WalkSettings) -> None:
    """If each answer has another bad row, no row is left out: the walk raises `DecodeError`."""
    server = MessageServer([Row(NOW_MS - 100_000 + n, b"%d" % n) for n in range(250)])
    flaky = Flaky(server, 1000)
    with pytest.raises(DecodeError, match="garbled"):
        await anext(batches(flaky.fetch, QUERY, settings=settings, clock=server.clock))
    assert server.requests < 10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("many", [3, 100])
@virtual
async def test_a_page_without_a_message_is_no_page(many: int, form: tuple[int, bool]) -> None:
    """A device of which no row can be read, and a whole page of such rows, are an error."""
    rows = [Row(NOW_MS - 100_000 + n, b"%d" % n, bad=n < many) for n in range(max(many, 99))]
    if many == 3:
        rows = rows[:3]
    server = MessageServer(rows)
    walk = batches(
        server.fetch, QUERY, settings=SKIP, concurrency=form[0], ordered=form[1], clock=server.clock
    )
    with pytest.raises(DecodeError):
        _ = [batch async for batch in walk]


@virtual
async def test_a_bad_row_is_logged_without_its_bytes(caplog: pytest.LogCaptureFixture) -> None:
    """What is skipped is counted at WARNING by `iottly_async.walk`."""
    rows = [Row(NOW_MS - 100_000 + n, b"secret %d" % n, bad=n % 60 == 1) for n in range(250)]
    server = MessageServer(rows)
    with caplog.at_level(logging.WARNING, "iottly_async.walk"):
        async for _ in batches(server.fetch, QUERY, settings=SKIP, clock=server.clock):
            pass
    told = [record.getMessage() for record in caplog.records if record.name == "iottly_async.walk"]
    assert told
    assert "5 since the walk began" in told[-1]
    assert "expected an object" in told[-1]
    assert not any("secret" in text for text in told)


@virtual
async def test_a_lookback_tells_a_bad_row_once() -> None:
    """A resumed walk reads the last seconds again; bad rows there are not told again, and one
    that arrives alone, behind the newest message, is told."""
    now = NOW_MS
    rows = [Row(now - 9000 + 500 * n, b"%d" % n, bad=n in (3, 7)) for n in range(9)]
    server = MessageServer(rows)
    settings = attrs.evolve(SKIP, settle=0.0, lookback=20.0)
    cursor: Cursor | None = None
    told: list[bytes] = []
    messages = 0
    for turn in range(6):
        walk = batches(server.fetch, QUERY, settings=settings, cursor=cursor, clock=server.clock)
        async for batch in walk:
            told += [row.raw for row in batch.rejected]
            messages += len(batch.messages)
            cursor = Cursor.from_json(batch.cursor.to_json())
        await server.clock.sleep(1)
        if turn == 2:
            server.append(Row(now + 2000, b"alone", bad=True), visible_at_ms=0)
    assert messages == 7
    assert told == [b"3", b"7", b"alone"]
