"""Every message of a range once, whatever the stream, the form of the walk, and the crashes."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.models._time import epoch_ms
from iottly_async.models.message import Message
from iottly_async.walk import PageRequest, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual

from .streams import BEGIN, PAGE, SPAN, Case, Walked, cases, counted, walk

SETTINGS = WalkSettings(page_size=PAGE, verify_ties=True)


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


@pytest.mark.parametrize(
    ("concurrency", "ordered"),
    [(st.just(1), True), (st.sampled_from([2, 3, 8, 32]), True), (st.integers(2, 32), False)],
    ids=["sequential", "in order", "any order"],
)
@given(data=st.data())
def test_every_message_comes_once(
    data: st.DataObject, concurrency: st.SearchStrategy[int], ordered: bool
) -> None:
    """What is handed out is what the store holds, in order where promised, through crashes."""
    case = data.draw(cases(concurrency=concurrency, ordered=ordered))

    async def main() -> None:
        server = server_of(case)
        walked = await walk(server, case, SETTINGS)
        check_whole(case, walked, server.truth(case.start, case.end, case.type))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


@given(case=cases())
def test_messages_that_arrive_meanwhile_come_once_or_not_yet(case: Case) -> None:
    """With appends during the walk, late ones within the settle time among them, what is
    handed out is what the store holds up to the walk's end."""
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
        walked = await walk(server, case, SETTINGS)
        await asyncio.sleep(20)
        assert walked.cursor is not None
        truth = server.truth(None, walked.cursor.pinned_end)
        check_whole(case, walked, truth)

    run_virtual(main)


@given(case=cases(), every=st.integers(1, 6))
def test_retention_takes_nothing_that_stays(case: Case, every: int) -> None:
    """With old messages deleted during the walk, those that stay come once, and no other
    comes twice."""

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

        walked = await walk(server, case, SETTINGS, before=retain)
        got = Counter(map(identity, walked.messages))
        assert not counted(server.truth(case.start, case.end, case.type)) - got
        assert not got - counted(before)

    run_virtual(main)


@given(case=cases(crashes=False))
def test_descending_is_the_exact_reverse(case: Case) -> None:
    """Down is up reversed, message by message and key by key, and so is every other form."""

    async def main() -> None:
        async def in_order(order: str, concurrency: int) -> list[Message]:
            case.order = "asc" if order == "asc" else "desc"
            case.concurrency, case.ordered = concurrency, True
            walked = await walk(server_of(case), case, SETTINGS)
            return walked.messages

        up = await in_order("asc", 1)
        keys = [message.key for message in up]
        assert len(set(keys)) == len(keys)
        for order, concurrency in [("desc", 1), ("asc", 4), ("desc", 4)]:
            other = [message.key for message in await in_order(order, concurrency)]
            assert (other if order == "asc" else other[::-1]) == keys

    run_virtual(main)


@given(case=cases(crashes=False))
def test_batches_are_whole_milliseconds(case: Case) -> None:
    """No millisecond is spread over two batches, and each cursor counts what came so far."""

    async def main() -> None:
        server = server_of(case)
        seen: set[int] = set()
        count = 0
        async for batch in batches(
            server.fetch,
            case.query,
            settings=SETTINGS,
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
