"""Milliseconds of many pages: each is proven whole, or the walk says that it is not (D6)."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from iottly_async.errors import (
    BadRequestError,
    DecodeError,
    ForbiddenError,
    IottlyError,
    NotFoundError,
    ServerError,
    UnauthorizedError,
    UnstableTieOrderError,
)
from iottly_async.models import Message
from iottly_async.models.row import MessageRow
from iottly_async.walk import HistoryRequest, PageRequest, WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual, virtual

from ..streams import counted

AT = NOW_MS - 50_000
QUERY = WalkQuery(project_id="p1", device_id="d1")
PROVE = WalkSettings()
TRUST = WalkSettings(verify_ties=False)


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
    """With `verify_ties=False`, some messages come twice and some never on such a server."""
    rows = group(700)
    got = await walked(MessageServer(rows, unstable=True), TRUST)
    assert len(got) == len(rows)
    assert Counter(map(identity, got)) != counted(rows)


@virtual
async def test_a_stable_order_costs_one_pass() -> None:
    """If all messages differ, one pass is proof enough, and costs no request more."""
    for settings in (PROVE, TRUST):
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
    assert caught.value.timestamp == "2025-12-31T23:59:10.000Z"
    assert caught.value.timestamp in str(caught.value)
    assert "250 messages" in str(caught.value)


@virtual
async def test_a_history_that_shows_too_few_is_no_proof() -> None:
    """If the history shows fewer messages than the pages, the walk ends with an error."""
    server = MessageServer(group(250, payloads=1), unstable=True)

    async def some(request: HistoryRequest) -> list[MessageRow]:
        return (await server.history(request))[:40]

    with pytest.raises(UnstableTieOrderError, match="40 of them"):
        await walked(server, PROVE, history=some)


@virtual
async def test_a_history_without_ids_is_no_proof() -> None:
    """Messages without ids cannot be distinguished, so the walk ends with an error."""
    server = MessageServer(group(250, payloads=1), unstable=True)

    async def bare(request: HistoryRequest) -> list[MessageRow]:
        return [structs.replace(message, id=None) for message in await server.history(request)]

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


@pytest.mark.parametrize("apart", [1, 2, 20, 33])
@virtual
async def test_identical_messages_near_each_other_need_no_history(apart: int) -> None:
    """On a server of one order, identical messages on both sides of a page's end are shown
    together by pages of another size: the millisecond is read whole without the history."""
    rows = [Row(AT, b"%d" % n, serial=n) for n in range(250)]
    rows[100 - (apart + 1) // 2 + apart] = rows[100 - (apart + 1) // 2]._replace(serial=999)
    server = MessageServer(rows)
    got = await walked(server, PROVE)
    assert Counter(map(identity, got)) == counted(rows)
    assert len({message.key for message in got}) == 250
    assert server.requests < 25


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("no such endpoint", status=404),
        ForbiddenError("not for this key", status=403),
        BadRequestError("no such filter", status=400),
        ServerError("not implemented", status=501),
        DecodeError("expected an array", path="$.messages"),
    ],
    ids=lambda error: type(error).__name__,
)
@virtual
async def test_a_history_that_refuses_is_no_proof(error: IottlyError) -> None:
    """If the history endpoint refuses, the walk says that there is no proof, why, and what to do;
    and what can be proven without it is read."""
    server = MessageServer(group(250, payloads=1), unstable=True)

    async def refuses(_: HistoryRequest) -> list[MessageRow]:
        raise error

    with pytest.raises(UnstableTieOrderError, match="verify_ties=False") as caught:
        await walked(server, PROVE, history=refuses)
    assert str(error) in str(caught.value)
    rows = group(250)
    got = await walked(MessageServer(rows, unstable=True), PROVE, history=refuses)
    assert Counter(map(identity, got)) == counted(rows)


@virtual
async def test_a_revoked_key_says_nothing_of_ties() -> None:
    """A history that answers 401 ends the walk with that error."""
    server = MessageServer(group(250, payloads=1))

    async def refuses(_: HistoryRequest) -> list[MessageRow]:
        raise UnauthorizedError("the key was revoked", status=401)

    with pytest.raises(UnauthorizedError):
        await walked(server, PROVE, history=refuses)


@pytest.mark.parametrize("what", ["the history", "all", "nothing any more"])
@virtual
async def test_a_history_that_is_away_is_told_from_an_outage(what: str) -> None:
    """A history that fails for as long as the walk is patient is asked once more, behind a pass
    over the pages: if these fail too, their error ends the walk; if only the history goes on to
    fail, the millisecond is not proven; if it has come back, it is."""
    server = MessageServer(group(250, payloads=1))
    away = ServerError("the service is away", status=503)
    failures = 0

    async def fails(request: HistoryRequest) -> list[MessageRow]:
        nonlocal failures
        if failures and what == "nothing any more":
            return await server.history(request)
        failures += 1
        raise away

    def before(_: PageRequest, __: int) -> None:
        if failures and what == "all":
            raise away

    server.before = before
    if what == "nothing any more":
        assert len(await walked(server, PROVE, history=fails)) == 310
        return
    expected = UnstableTieOrderError if what == "the history" else ServerError
    with pytest.raises(expected, match="the service is away"):
        await walked(server, PROVE, history=fails)
    assert failures == (2 if what == "the history" else 1)


@virtual
async def test_a_history_that_ignores_ids_is_no_proof() -> None:
    """If the history always answers the same hundred, the walk does not ask for ever."""
    server = MessageServer(group(450, payloads=1))

    async def always(request: HistoryRequest) -> list[MessageRow]:
        whole = HistoryRequest(
            device_id="d1", type="all", at=request.at, after_id=None, before_id=None, size=100
        )
        found = await server.history(whole)
        return sorted(found, key=lambda message: message.id or "")

    with pytest.raises(UnstableTieOrderError, match="does not filter by ids"):
        await walked(server, PROVE, history=always)


@virtual
async def test_a_message_that_comes_during_the_proof_is_counted_again() -> None:
    """If the history shows one more message than the pages did, the pages are read again."""
    rows = group(250, payloads=1)
    server = MessageServer(rows)
    late = Row(AT, b"0", serial=9999)
    asked = 0

    async def history(request: HistoryRequest) -> list[MessageRow]:
        nonlocal asked
        asked += 1
        if asked == 1:
            server.append(late, visible_at_ms=0)
        return await server.history(request)

    got = await walked(server, PROVE, history=history)
    assert Counter(map(identity, got)) == counted([*rows, late])
    assert len({message.key for message in got}) == len(got)
