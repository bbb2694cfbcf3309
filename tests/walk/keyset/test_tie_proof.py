"""`verify_ties`: milliseconds of many pages on a server whose order of ties changes."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import UnstableTieOrderError
from iottly_async.models.message import Message
from iottly_async.walk import HistoryRequest, WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual, virtual

from ..streams import counted

AT = NOW_MS - 50_000
QUERY = WalkQuery(project_id="p1", device_id="d1")
PROVE = WalkSettings(verify_ties=True)


def group(size: int, *, payloads: int | None = None, around: int = 30, seed: int = 0) -> list[Row]:
    """Make `size` rows of one millisecond between others, with `payloads` payloads (None: all)."""
    chance = random.Random(seed)
    times = [AT - 1 - n for n in range(around)] + [AT] * size + [AT + 1 + n for n in range(around)]
    return [
        Row(at, b"%d" % (serial if payloads is None else chance.randrange(payloads)), serial=serial)
        for serial, at in enumerate(sorted(times))
    ]


async def walked(
    server: MessageServer, settings: WalkSettings, query: WalkQuery = QUERY, **how: Any
) -> list[Message]:
    walk = batches(server.fetch, query, settings=settings, clock=server.clock, **how)
    return [message async for batch in walk for message in batch.messages]


@given(
    size=st.sampled_from([99, 100, 101, 150, 200, 250, 700]),
    around=st.sampled_from([0, 1, 60, 100]),
    order=st.sampled_from(["asc", "desc"]),
    form=st.sampled_from([(1, True), (6, True), (6, False)]),
    seed=st.integers(0, 1000),
)
def test_passes_find_every_message(
    size: int, around: int, order: str, form: tuple[int, bool], seed: int
) -> None:
    """Groups of any size and place are read whole without the history endpoint."""

    async def main() -> None:
        rows = group(size, around=around, seed=seed)
        server = MessageServer(rows, unstable=True, seed=seed)
        query = WalkQuery(
            project_id="p1", device_id="d1", order="asc" if order == "asc" else "desc"
        )
        got = await walked(server, PROVE, query, concurrency=form[0], ordered=form[1])
        assert Counter(map(identity, got)) == counted(rows)

    run_virtual(main)


@virtual
async def test_five_thousand_in_one_millisecond() -> None:
    """5,000 messages, in another random order each time, take fewer than 24 passes."""
    rows = group(5000)
    server = MessageServer(rows, unstable=True)
    got = await walked(server, PROVE)
    assert Counter(map(identity, got)) == counted(rows)
    assert server.requests < 24 * 51


@virtual
async def test_without_a_proof_an_unstable_order_loses_messages() -> None:
    """Without `verify_ties`, some messages come twice and some never on such a server."""
    rows = group(700)
    got = await walked(MessageServer(rows, unstable=True), WalkSettings())
    assert len(got) == len(rows)
    assert Counter(map(identity, got)) != counted(rows)


@virtual
async def test_a_stable_order_costs_one_pass() -> None:
    """If all messages differ, one pass is proof enough, and costs no request more."""
    for settings in (PROVE, WalkSettings()):
        server = MessageServer(group(250))
        await walked(server, settings)
        plain = server.requests
    assert server.requests <= plain <= server.requests + 1


@pytest.mark.parametrize("payloads", [1, 2, 40])
@pytest.mark.parametrize("unstable", [False, True])
@virtual
async def test_the_history_tells_identical_messages_apart(payloads: int, unstable: bool) -> None:
    """If identical messages lie on several pages, passes prove nothing. The ids of the history
    endpoint do, a hundred at a time and in any order."""
    rows = group(450, payloads=payloads)
    server = MessageServer(rows, unstable=unstable)
    got = await walked(server, PROVE, history=server.history)
    assert Counter(map(identity, got)) == counted(rows)
    keys = [message.key for message in got]
    assert len(set(keys)) == len(keys)


@virtual
async def test_without_a_history_the_error_names_the_millisecond() -> None:
    """What cannot be proven is not yielded; the error names the millisecond."""
    server = MessageServer(group(250, payloads=1), unstable=True)
    with pytest.raises(UnstableTieOrderError) as caught:
        await walked(server, PROVE)
    assert caught.value.timestamp == "2025-12-31T23:59:10.000+00:00"
    assert caught.value.timestamp in str(caught.value)
    assert "250 messages" in str(caught.value)


@virtual
async def test_a_history_that_shows_too_few_is_no_proof() -> None:
    """If the history shows fewer messages than the pages, the walk ends with an error."""
    server = MessageServer(group(250, payloads=1), unstable=True)

    async def some(request: HistoryRequest) -> list[Message]:
        return (await server.history(request))[:40]

    with pytest.raises(UnstableTieOrderError, match="40 of them"):
        await walked(server, PROVE, history=some)


@virtual
async def test_a_history_without_ids_is_no_proof() -> None:
    """Messages without ids cannot be distinguished, so the walk ends with an error."""
    server = MessageServer(group(250, payloads=1), unstable=True)

    async def bare(request: HistoryRequest) -> list[Message]:
        return [
            Message(device_id="d1", timestamp=message.timestamp)
            for message in await server.history(request)
        ]

    with pytest.raises(UnstableTieOrderError, match="no ids"):
        await walked(server, PROVE, history=bare)


@virtual
async def test_messages_deleted_during_the_proof() -> None:
    """If the millisecond is deleted between two passes, the walk goes on after it."""
    rows = group(250)
    server = MessageServer(rows, unstable=True)

    def retain(_: object, number: int) -> None:
        if number == 6:
            server.delete_before(AT + 1)

    server.before = retain
    got = Counter(map(identity, await walked(server, PROVE)))
    assert not counted(server.truth()) - got
    assert not got - counted(rows)
