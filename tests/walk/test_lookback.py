"""`lookback`: messages that became visible later than the settle time."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.models.cursor import Cursor
from iottly_async.models.message import Message
from iottly_async.walk import WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.scale import sized
from tests.support.virtual_time import run_virtual, virtual

from .streams import PAGE, counted

QUERY = WalkQuery(project_id="p1", device_id="d1")


async def walk_on(
    server: MessageServer,
    cursor: Cursor | None,
    settings: WalkSettings,
    *,
    form: tuple[int, bool] = (1, True),
    leave_after: int | None = None,
) -> tuple[list[Message], Cursor]:
    """Resume from `cursor`, to the end or for `leave_after` batches."""
    walk = batches(
        server.fetch,
        QUERY,
        settings=settings,
        cursor=cursor,
        concurrency=form[0],
        ordered=form[1],
        clock=server.clock,
    )
    got: list[Message] = []
    number = 0
    async for batch in walk:
        got += batch.messages
        cursor = Cursor.from_json(batch.cursor.to_json())
        number += 1
        if number == leave_after:
            break
    await walk.aclose()
    assert cursor is not None
    return got, cursor


@virtual
async def test_a_late_message_comes_with_the_next_walk() -> None:
    """A message that appears before the old end comes with the next walk, and no other does."""
    settings = WalkSettings(settle=1.0, lookback=30.0)
    server = MessageServer([Row(NOW_MS - 1000 * n, b"%d" % n) for n in range(2, 60)])
    first, cursor = await walk_on(server, None, settings)
    late = Row(NOW_MS - 10_500, b"late")
    server.append(late, visible_at_ms=NOW_MS)
    await server.clock.sleep(1.0)
    second, cursor = await walk_on(server, cursor, settings)
    assert len(first) == 58
    assert [identity(message) for message in second] == [(late.at, late.payload)]
    third, _ = await walk_on(server, cursor, settings)
    assert third == []


@virtual
async def test_without_a_lookback_a_late_message_is_not_seen() -> None:
    """A walk without a lookback resumes where the last one ended, and reads nothing again."""
    settings = WalkSettings(settle=1.0)
    server = MessageServer([Row(NOW_MS - 1000 * n, b"%d" % n) for n in range(2, 60)])
    _, cursor = await walk_on(server, None, settings)
    server.append(Row(NOW_MS - 10_500, b"late"), visible_at_ms=NOW_MS)
    await server.clock.sleep(1.0)
    again, _ = await walk_on(server, cursor, settings)
    assert again == []


@virtual
async def test_a_late_twin_gets_the_next_ordinal() -> None:
    """A late message that is identical to an earlier one has its own key."""
    settings = WalkSettings(settle=1.0, lookback=30.0)
    row = Row(NOW_MS - 5000, b"same", serial=1)
    server = MessageServer([row])
    first, cursor = await walk_on(server, None, settings)
    server.append(row._replace(serial=2), visible_at_ms=NOW_MS)
    await server.clock.sleep(1.0)
    second, _ = await walk_on(server, cursor, settings)
    assert [message.key for message in second] == [f"{first[0].key}-1"]


@virtual
async def test_the_cursor_remembers_no_more_than_the_lookback() -> None:
    """The cursor remembers messages of the lookback's time; none without a lookback."""
    rows = [Row(NOW_MS - 1000 * n, b"%d" % n) for n in range(5, 4000)]
    _, long = await walk_on(MessageServer(rows), None, WalkSettings(settle=1.0, lookback=30.0))
    _, none = await walk_on(MessageServer(rows), None, WalkSettings(settle=1.0))
    assert 30 <= len(long.recent) <= 32
    assert len(long.to_json()) < len(none.to_json()) + 100 + 40 * 32
    assert none.recent == ()


@pytest.mark.parametrize("form", [(1, True), (4, True), (4, False)])
@given(seed=st.integers(0, 2**16))
def test_walks_with_lookback_lose_and_repeat_nothing(form: tuple[int, bool], seed: int) -> None:
    """However late messages come within the lookback, and however often walks stop and resume,
    every message comes once."""

    async def main() -> None:
        chance = random.Random(seed)
        settings = WalkSettings(page_size=PAGE, settle=1.0, lookback=20.0)
        server = MessageServer(limit=PAGE, jitter=0.5, seed=seed)
        for serial in range(sized(100, 150)):
            at = NOW_MS - 30_000 + chance.randrange(90_000)
            late = chance.choice([0, 0, 500, 15_000])
            row = Row(at, b"%d" % chance.randrange(40), serial=serial)
            server.append(row, visible_at_ms=at + late)
        got: list[Message] = []
        cursor: Cursor | None = None
        for _ in range(sized(15, 25)):
            leave = chance.choice([None, 1, 3])
            more, cursor = await walk_on(server, cursor, settings, form=form, leave_after=leave)
            got += more
            await server.clock.sleep(chance.choice([0.0, 1.0, 4.0]))
        await server.clock.sleep(120)
        while cursor is None or not cursor.finished or cursor.pinned_end < NOW_MS + 60_000:
            more, cursor = await walk_on(server, cursor, settings, form=form)
            got += more
        more, cursor = await walk_on(server, cursor, settings, form=form)
        got += more
        assert Counter(map(identity, got)) == counted(server.truth())
        keys = [message.key for message in got]
        assert len(set(keys)) == len(keys)

    run_virtual(main)
