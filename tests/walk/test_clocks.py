"""Clocks that differ and rows that become visible late: nothing is lost (D11).

A row is stamped by one clock, and `Date` comes from another. A row becomes visible up to the
settle time and the lookback after its stamp. Whatever the difference of the clocks, walks that are
stopped and resumed have every row once.
"""

import logging
import random
from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.models._time import epoch_ms
from iottly_async.models.cursor import Cursor
from iottly_async.models.message import Message
from iottly_async.models.message_batch import rows_of
from iottly_async.models.row import MessageRow
from iottly_async.walk import (
    LookBackPart,
    PageRequest,
    Quirks,
    WalkQuery,
    WalkSettings,
    batches,
    batches_many,
)
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.scale import sized
from tests.support.virtual_time import run_virtual, virtual

from .streams import PAGE, counted

DAY = 86_400

QUERY = WalkQuery(project_id="p1", device_id="d1")

FORMS = [(1, True), (4, True), (4, False)]

forms = st.sampled_from(FORMS)
skews = st.sampled_from([0, 0.9, 8, 3600, 10 * DAY, -0.9, -8, -3600]) | st.integers(-90, 90)


class Consumer:
    """Walks on from its cursor as often as it is asked to, as a program does that is restarted.

    Attributes:
        got: all messages that it was given.
        cursor: of the last batch.
    """

    def __init__(
        self, server: MessageServer, settings: WalkSettings, query: WalkQuery = QUERY
    ) -> None:
        self.server = server
        self.settings = settings
        self.query = query
        self.got: list[Message] = []
        self.cursor: Cursor | None = None

    async def walk(
        self, form: tuple[int, bool] = (1, True), *, leave_after: int | None = None
    ) -> list[Message]:
        """Walk on to the end, or for so many batches; what came."""
        walk = batches(
            self.server.fetch,
            self.query,
            settings=self.settings,
            cursor=self.cursor,
            concurrency=form[0],
            ordered=form[1],
            clock=self.server.clock,
            history=self.server.history,
        )
        before, number = len(self.got), 0
        async for batch in walk:
            self.got += batch.messages
            self.cursor = Cursor.from_json(batch.cursor.to_json())
            self.check_cursor()
            number += 1
            if number == leave_after:
                break
        await walk.aclose()
        return self.got[before:]

    def check_cursor(self) -> None:
        """The cursor stands behind the newest message, and never beyond it."""
        cursor = self.cursor
        assert cursor is not None
        newest = max((epoch_ms(message.timestamp) for message in self.got), default=None)
        assert cursor.newest == newest
        assert cursor.recent_from is not None
        if newest is not None:
            assert cursor.recent_from <= newest + 1
        assert cursor.count == len(self.got)

    def check_whole(self) -> None:
        """Every row came once, and has a key of its own."""
        assert Counter(map(identity, self.got)) == counted(self.server.truth())
        keys = [message.key for message in self.got]
        assert len(set(keys)) == len(keys)


def send(
    server: MessageServer, chance: random.Random, rows: int, *, over: float, late: float
) -> None:
    """Stamp rows at random moments of the next seconds; each is visible up to `late` later.

    Some share a millisecond, and some are identical.
    """
    at = 0
    for serial in range(rows):
        if serial == 0 or chance.random() < 0.8:
            at = NOW_MS + chance.randrange(int(over * 1000))
        lateness = chance.choice([0.0, 0.0, chance.random(), 1.0]) * late
        row = Row(at, b"%d" % chance.randrange(40), serial=serial)
        server.append(row, visible_at_ms=at + int(lateness * 1000))


@given(
    skew=skews,
    form=forms,
    settle=st.sampled_from([0.0, 1.0, 5.0]),
    lookback=st.sampled_from([1.0, 5.0, 30.0]),
    parts=st.sampled_from([["all"], ["all", "old", "none"], ["old", "old", "none"]]),
    seed=st.integers(0, 2**16),
)
def test_a_skew_of_any_size_loses_nothing(
    skew: float,
    form: tuple[int, bool],
    settle: float,
    lookback: float,
    parts: list[LookBackPart],
    seed: int,
) -> None:
    """`Date` is ahead of the stamps or behind them, rows come late, walks stop anywhere, and look
    back wholly, partly or not at all."""

    async def main() -> None:
        chance = random.Random(seed)
        server = MessageServer(limit=PAGE, jitter=0.5, seed=seed, date_ahead=skew)
        send(server, chance, sized(100, 150), over=60, late=settle + lookback)
        settings = WalkSettings(page_size=PAGE, settle=settle, lookback=lookback)
        consumer = Consumer(server, settings)
        for _ in range(sized(20, 30)):
            part = chance.choice(parts)
            consumer.settings = attrs.evolve(settings, looks_back=part)
            await consumer.walk(form, leave_after=chance.choice([None, None, 1, 3]))
            await server.clock.sleep(chance.choice([0.0, 0.5, 2.0, 6.0]))
        consumer.settings = settings
        await server.clock.sleep(120 + max(-skew, 0))
        for _ in range(2):
            await consumer.walk(form)
        consumer.check_whole()
        assert await consumer.walk(form) == []

    run_virtual(main)


@given(
    wild=st.sampled_from([3600.0, -3600.0, 10.0 * DAY, -10.0 * DAY]),
    at=st.integers(1, 60),
    form=forms,
    seed=st.integers(0, 2**16),
)
def test_one_wild_date_changes_nothing(
    wild: float, at: int, form: tuple[int, bool], seed: int
) -> None:
    """One answer whose `Date` is an hour or days off neither loses a row nor ends a walk."""

    async def main() -> None:
        chance = random.Random(seed)
        server = MessageServer(limit=PAGE, seed=seed)
        send(server, chance, 100, over=40, late=6.0)

        def stray(_: PageRequest, number: int) -> None:
            server.date_ahead = wild if number == at else 0.0

        server.before = stray
        consumer = Consumer(server, WalkSettings(page_size=PAGE, settle=1.0, lookback=5.0))
        for _ in range(30):
            await consumer.walk(form, leave_after=chance.choice([None, None, 2]))
            await server.clock.sleep(chance.choice([0.5, 1.5, 3.0]))
        await server.clock.sleep(120)
        for _ in range(2):
            await consumer.walk(form)
        consumer.check_whole()

    run_virtual(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("skew", [8, 3600, 10 * DAY])
@virtual
async def test_a_date_ahead_of_the_stamps_loses_nothing(
    skew: float, form: tuple[int, bool]
) -> None:
    """A row a second, and a walk every two: with `Date` ahead each row comes with the next walk,
    although no settle time holds it back."""
    server = MessageServer([], date_ahead=skew)
    for n in range(64):
        server.append(Row(NOW_MS + 1000 * n, b"%d" % n), visible_at_ms=NOW_MS + 1000 * n)
    consumer = Consumer(server, WalkSettings(settle=5.0, lookback=5.0))
    for _ in range(40):
        await consumer.walk(form)
        await server.clock.sleep(1.9)
    assert [message.payload_json for message in consumer.got] == [b"%d" % n for n in range(64)]


@pytest.mark.parametrize("skew", [0.0, 8.0, 3600.0])
@pytest.mark.parametrize("lookback", [0.0, 5.0])
@virtual
async def test_an_idle_device_costs_one_request(lookback: float, skew: float) -> None:
    """Once the lookback has passed, a device that sends nothing more costs one request a walk,
    also if it sent thousands of messages at last; its cursor is small again."""
    rows = [Row(NOW_MS - 20_000 + n, b"%d" % n) for n in range(3000)]
    server = MessageServer(rows, date_ahead=skew)
    consumer = Consumer(server, WalkSettings(lookback=lookback))
    await consumer.walk()
    assert len(consumer.got) == 3000
    await server.clock.sleep(10)
    await consumer.walk()  # looks back for the last time
    before = server.requests
    for _ in range(50):
        await server.clock.sleep(60)
        assert await consumer.walk() == []
    assert server.requests == before + 50
    assert consumer.cursor is not None
    assert consumer.cursor.recent == ()
    assert len(consumer.cursor.to_json()) < 400


@virtual
async def test_a_device_that_never_sent_costs_one_request() -> None:
    """A walk without any message goes on at its start, with one request."""
    server = MessageServer([], date_ahead=3600)
    consumer = Consumer(server, WalkSettings(lookback=5.0))
    for n in range(20):
        assert await consumer.walk() == []
        assert server.requests == n + 1
        await server.clock.sleep(60)
    server.append(Row(NOW_MS + 10_000), visible_at_ms=NOW_MS + 10_000)
    assert len(await consumer.walk()) == 1


@virtual
async def test_what_is_remembered_has_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    """Of a device that sends more than ten thousand messages within the lookback, as many are
    remembered; it is said once, and none comes twice."""
    rows = [Row(NOW_MS - 14_000 + n // 2, b"%d" % n) for n in range(16_000)]
    server = MessageServer(rows)
    consumer = Consumer(server, WalkSettings(lookback=30.0))
    generator = batches(server.fetch, QUERY, settings=consumer.settings, clock=server.clock)
    async for batch in generator:
        consumer.got += batch.messages
        consumer.cursor = batch.cursor
    assert consumer.cursor is not None
    assert 9_000 < len(consumer.cursor.recent) <= 10_000
    assert await consumer.walk() == []
    consumer.check_whole()
    assert caplog.text.count("within the lookback") == 1


@virtual
async def test_a_batch_that_is_not_stored_costs_no_hashes() -> None:
    """The hashes of a cursor are computed when they are read, and those of no other message."""
    rows = [Row(NOW_MS - 200_000 + 100 * n, b"%d" % n) for n in range(1500)]
    server = MessageServer(rows)
    settings = WalkSettings(lookback=5.0)
    got: list[MessageRow] = []
    async for batch in batches(server.fetch, QUERY, settings=settings, clock=server.clock):
        got += rows_of(batch)
        cursor = batch.cursor
    assert not any(message._digest for message in got)
    remembered = len(cursor.recent)
    assert 100 <= remembered <= 105
    hashed = [bool(message._digest) for message in got]
    assert hashed == [n >= 1500 - remembered for n in range(1500)]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of walks."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "iottly_async.walk" and record.levelno == logging.WARNING
    ]


@pytest.mark.parametrize(
    ("skew", "text"), [(3600, "another clock"), (-3600, "ahead of the server's clock")]
)
@virtual
async def test_a_large_difference_of_clocks_is_said_once(
    skew: float, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A session's walks say once that the stamps and `Date` are an hour apart."""
    server = MessageServer([], date_ahead=skew)
    for n in range(60):
        server.append(Row(NOW_MS + 1000 * n, b"%d" % n), visible_at_ms=NOW_MS + 1000 * n)
    consumer = Consumer(server, WalkSettings(lookback=5.0, quirks=Quirks()))
    for _ in range(30):
        await consumer.walk()
        await server.clock.sleep(2)
    assert len(said(caplog)) == 1
    assert text in said(caplog)[0]


@pytest.mark.parametrize("skew", [0, 8, -8])
@virtual
async def test_a_small_difference_of_clocks_is_not_said(
    skew: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Clocks that are some seconds apart, and rows that come a few seconds late, are ordinary."""
    server = MessageServer([], date_ahead=skew)
    send(server, random.Random(1), 60, over=60, late=5.0)
    consumer = Consumer(server, WalkSettings(lookback=5.0, quirks=Quirks()))
    for _ in range(30):
        await consumer.walk()
        await server.clock.sleep(2)
    assert said(caplog) == []


@virtual
async def test_a_lookback_may_wait_for_a_later_walk() -> None:
    """A walk that does not look back goes on behind the newest message, and remembers for a later
    one, which finds what has become visible meanwhile."""
    server = MessageServer([Row(NOW_MS - 6_000 + 10 * n, b"%d" % n) for n in range(300)])
    consumer = Consumer(server, WalkSettings(settle=0.0, lookback=5.0))
    await consumer.walk()
    late = Row(NOW_MS - 4_005, b"late")
    server.append(late, visible_at_ms=NOW_MS + 1000)
    consumer.settings = WalkSettings(settle=0.0, lookback=5.0, looks_back="none")
    for n in range(4):
        fresh = Row(NOW_MS + 1000 * n, b"new %d" % n)
        server.append(fresh, visible_at_ms=fresh.at)
        await server.clock.sleep(1.5)
        before = server.requests
        await consumer.walk()
        assert server.requests == before + 1
    assert late.at not in {epoch_ms(message.timestamp) for message in consumer.got}
    consumer.settings = WalkSettings(settle=0.0, lookback=5.0)
    assert [identity(message) for message in await consumer.walk()] == [(late.at, late.payload)]
    consumer.check_whole()


@given(skew=skews, seed=st.integers(0, 2**16))
def test_walks_of_many_devices_lose_nothing(skew: float, seed: int) -> None:
    """The same holds for many devices, whose batches come in any order."""

    async def main() -> None:
        chance = random.Random(seed)
        server = MessageServer(limit=PAGE, jitter=0.5, seed=seed, date_ahead=skew)
        for device in ("d1", "d2", "d3"):
            for serial in range(40):
                at = NOW_MS + chance.randrange(40_000)
                row = Row(at, b"%d" % chance.randrange(40), device=device, serial=serial)
                server.append(row, visible_at_ms=at + chance.randrange(5000))
        queries = [WalkQuery(project_id="p1", device_id=one) for one in ("d1", "d2", "d3")]
        got: dict[str, list[Message]] = {query.device_id: [] for query in queries}
        cursors: dict[str, Cursor] = {}

        async def walk_on(leave_after: int | None) -> None:
            settings = WalkSettings(page_size=PAGE, settle=1.0, lookback=5.0)
            walk = batches_many(
                server.fetch,
                queries,
                settings=settings,
                cursors=cursors,
                concurrency=3,
                clock=server.clock,
            )
            number = 0
            async for batch in walk:
                got[batch.cursor.device_id] += batch.messages
                cursors[batch.cursor.device_id] = Cursor.from_json(batch.cursor.to_json())
                number += 1
                if number == leave_after:
                    break
            await walk.aclose()

        for _ in range(20):
            await walk_on(chance.choice([None, None, 1, 4]))
            await server.clock.sleep(chance.choice([0.5, 2.0, 4.0]))
        await server.clock.sleep(120 + max(-skew, 0))
        for _ in range(2):
            await walk_on(None)
        for device, messages in got.items():
            assert Counter(map(identity, messages)) == counted(server.truth(device=device))

    run_virtual(main)
