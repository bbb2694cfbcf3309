"""Every message of a range comes once, whatever the stream, the form and the crashes."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.models._time import epoch_ms
from iottly_async.models.message import Message
from iottly_async.walk import PageRequest, WalkQuery, WalkSettings, batches, most_intervals
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.scale import sized
from tests.support.virtual_time import run_virtual

from .streams import BEGIN, PAGE, SPAN, Case, Walked, cases, counted, walk


def settings_of(case: Case) -> WalkSettings:
    """Prove ties on a server with an unstable order, and in half of the other cases."""
    return WalkSettings(page_size=PAGE, verify_ties=case.unstable or case.seed % 2 == 0)


def server_of(case: Case) -> MessageServer:
    return MessageServer(
        case.rows(), limit=PAGE, unstable=case.unstable, jitter=0.8, seed=case.seed
    )


def check_whole(case: Case, walked: Walked, truth: list[Row]) -> None:
    assert Counter(map(identity, walked.messages)) == counted(truth)
    if case.in_order:
        times = [message.timestamp for message in walked.messages]
        assert times == sorted(times, reverse=case.order == "desc")
    assert walked.cursor is not None
    assert walked.cursor.count == len(walked.messages)
    # A cursor with more of them is refused, so a walk must never leave more.
    assert walked.intervals <= most_intervals(case.concurrency)


@pytest.mark.parametrize(
    ("concurrency", "ordered"),
    [(st.just(1), True), (st.sampled_from([2, 3, 8, 32]), True), (st.integers(2, 32), False)],
    ids=["sequential", "in order", "any order"],
)
@given(data=st.data())
def test_every_message_comes_once(
    data: st.DataObject, concurrency: st.SearchStrategy[int], ordered: bool
) -> None:
    """A walk yields what the server holds, in order where promised, despite crashes."""
    case = data.draw(cases(concurrency=concurrency, ordered=ordered))

    async def main() -> None:
        server = server_of(case)
        walked = await walk(server, case, settings_of(case))
        check_whole(case, walked, server.truth(case.start, case.end, case.type))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


@given(case=cases())
def test_messages_that_arrive_meanwhile_come_once_or_not_yet(case: Case) -> None:
    """If messages are added during the walk, even late within the settle time, the walk yields
    what the server holds up to the walk's end."""
    case.start = None
    case.end = None

    async def main() -> None:
        server = server_of(case)
        chance = random.Random(case.seed)
        for serial in range(200):
            at = NOW_MS - 6000 + chance.randrange(12_000)
            late = chance.randrange(4900)
            server.append(Row(at, b"%d" % serial, serial=10_000 + serial), visible_at_ms=at + late)
        case.type = "all"
        walked = await walk(server, case, settings_of(case))
        await asyncio.sleep(20)
        assert walked.cursor is not None
        truth = server.truth(None, walked.cursor.pinned_end)
        check_whole(case, walked, truth)

    run_virtual(main)


@given(case=cases(), every=st.integers(1, 6))
def test_retention_loses_no_message_that_remains(case: Case, every: int) -> None:
    """If old messages are deleted during the walk, those that remain come once, and the others
    at most once."""

    async def main() -> None:
        server = server_of(case)
        before = server.truth(case.start, case.end, case.type)
        chance = random.Random(case.seed)
        oldest = BEGIN

        def retain(_: PageRequest, number: int) -> None:
            nonlocal oldest
            if number % every == 0:
                oldest += chance.randrange(1, SPAN // 5)
                server.delete_before(oldest)

        walked = await walk(server, case, settings_of(case), before=retain)
        got = Counter(map(identity, walked.messages))
        assert not counted(server.truth(case.start, case.end, case.type)) - got
        assert not got - counted(before)

    run_virtual(main)


@given(case=cases(crashes=False))
def test_descending_is_the_exact_reverse(case: Case) -> None:
    """A descending walk is an ascending one reversed, key by key, in every ordered form."""

    async def main() -> None:
        async def in_order(order: str, concurrency: int) -> list[Message]:
            case.order = "asc" if order == "asc" else "desc"
            case.concurrency, case.ordered = concurrency, True
            walked = await walk(server_of(case), case, settings_of(case))
            return walked.messages

        up = await in_order("asc", 1)
        keys = [message.key for message in up]
        assert len(set(keys)) == len(keys)
        for order, concurrency in [("desc", 1), ("asc", 4), ("desc", 4)]:
            other = [message.key for message in await in_order(order, concurrency)]
            assert (other if order == "asc" else other[::-1]) == keys

    run_virtual(main)


@pytest.mark.parametrize("order", ["asc", "desc"])
@given(seed=st.integers(0, 2**16))
def test_keys_and_order_are_the_same_in_every_form(order: str, seed: int) -> None:
    """Over many small groups with identical messages, a message has the same key in every form
    of the walk, and the same place in every ordered one."""

    async def main() -> None:
        chance = random.Random(seed)
        times = [BEGIN + chance.randrange(SPAN) for _ in range(sized(120, 250))]
        rows = [
            Row(at, b"%d" % chance.randrange(3))
            for at in times
            for _ in range(chance.randint(1, 4))
        ]
        query = WalkQuery(
            project_id="p1", device_id="d1", order="asc" if order == "asc" else "desc"
        )
        keys: list[list[str]] = []
        for concurrency, ordered in [(1, True), (8, True), (8, False)]:
            server = MessageServer(rows, limit=20, unstable=True, jitter=0.5, seed=seed)
            found = batches(
                server.fetch,
                query,
                settings=WalkSettings(page_size=20),
                concurrency=concurrency,
                ordered=ordered,
                clock=server.clock,
            )
            keys.append([message.key async for batch in found for message in batch.messages])
        assert len(keys[0]) == len(rows) == len(set(keys[0]))
        assert keys[1] == keys[0]
        assert sorted(keys[2]) == sorted(keys[0])

    run_virtual(main)


@given(case=cases(crashes=False))
def test_batches_are_whole_milliseconds(case: Case) -> None:
    """No millisecond is split between two batches, and each cursor counts what came so far."""

    async def main() -> None:
        server = server_of(case)
        seen: set[int] = set()
        count = 0
        async for batch in batches(
            server.fetch,
            case.query,
            settings=settings_of(case),
            concurrency=case.concurrency,
            ordered=case.ordered,
            clock=server.clock,
            history=server.history,
        ):
            times = {epoch_ms(message.timestamp) for message in batch.messages}
            assert not times & seen
            seen |= times
            count += len(batch.messages)
            assert batch.cursor.count == count
            remaining = batch.cursor.remaining
            assert not any(a <= at < b for at in seen for a, b in remaining)

    run_virtual(main)
