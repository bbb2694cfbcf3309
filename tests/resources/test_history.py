"""The history: its order, and filters that a service may not understand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from iottly_async import ConfigurationError, DecodeError, Message
from tests.support.calls import failure_of, session_on
from tests.support.raw_server import RawServer, answering

AT = datetime(2026, 4, 1, 10, 0, 0, 250_000, UTC)
SECOND = timedelta(seconds=1)


def stored(number: int, at: datetime) -> dict[str, Any]:
    """A message of the history."""
    return {
        "_id": {"$oid": f"{number:024x}"},
        "from": "d1",
        "to": "p1",
        "timestamp": {"$date": at.isoformat()},
        "type": "userdefined",
        "payload": {"n": number},
    }


ROWS = [stored(n, AT + SECOND * (n // 2)) for n in range(4)]  # two in each of two milliseconds


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"status": 200, "messages": rows}).encode()


async def recent(server: RawServer, query: Any = None) -> list[Message]:
    async with session_on(server) as session:
        return await session.project("p1").messages.recent("d1", query=query)


async def test_the_latest_messages_are_sorted() -> None:
    """`recent` returns the newest first, whatever the order of the answer (D13)."""
    for rows in permutations(ROWS):
        async with RawServer(answering(200, body(*rows))) as server:
            assert [message.payload["n"] for message in await recent(server)] == [3, 2, 1, 0]


async def test_identical_messages_have_keys_of_their_own_in_any_order() -> None:
    """Identical messages are numbered by their ids, so a stored key stays with its message."""
    twins = [{**stored(n, AT), "payload": {}} for n in range(3)]
    found = set()
    for rows in permutations(twins):
        async with RawServer(answering(200, body(*rows))) as server:
            found.add(tuple((message.id, message.key) for message in await recent(server)))
    assert len(found) == 1
    assert len({key for _, key in found.pop()}) == 3


@pytest.mark.parametrize("name", ["from", "to"])
async def test_a_filter_that_may_reach_elsewhere_is_refused(name: str) -> None:
    """`from` and `to` may replace the device and the project, so nothing is sent (D14)."""
    async with RawServer(answering(200, body())) as server, session_on(server) as session:
        messages = session.project("p1").messages
        for value in ("d2", {"$ne": "d2"}, None):
            with pytest.raises(ConfigurationError, match=r"instead of the (device|project)"):
                await messages.recent("d1", query={name: value, "type": "x"})
        assert not server.requests
        # Below an operator they can only narrow the result.
        assert await messages.recent("d1", query={"$and": [{name: "d2"}]}) == []


BEFORE, AFTER = AT - SECOND, AT + SECOND
LIES_OUTSIDE: list[dict[str, Any]] = [
    {"timestamp": {"$gte": AT + SECOND / 1000}},
    {"timestamp": {"$gt": AT}},
    {"timestamp": {"$lt": AT}},
    {"timestamp": {"$lte": BEFORE}},
    {"timestamp": {"$gte": BEFORE, "$lt": AT}},
    {"timestamp": AFTER},
    {"timestamp": {"$eq": AFTER}},
    {"timestamp": {"$in": [BEFORE, AFTER]}},
    {"timestamp": {"$not": {"$lt": AFTER}}},
    {"timestamp": {"$gte": {"$date": "2026-04-01T10:00:00.251Z"}}},
    {"timestamp": {"$gte": {"$date": {"$numberLong": "1775037600251"}}}},
    {"timestamp": {"$gte": "2026-04-01T10:00:01"}},
    {"timestamp": {"$gte": 1775037600251}},
    {"$and": [{"type": "userdefined"}, {"timestamp": {"$gt": AT}}]},
]
LIES_INSIDE: list[dict[str, Any] | None] = [
    None,
    {},
    {"type": "userdefined"},
    {"timestamp": AT},
    {"timestamp": {"$gte": AT, "$lte": AT}},
    {"timestamp": {"$gte": AT, "$lt": AT + SECOND / 1000}},
    {"timestamp": {"$in": [BEFORE, AT]}},
    {"timestamp": {"$not": {"$gt": AT}}},
    {"timestamp": {"$not": {"$gt": AT, "$exists": True}}},
    {"timestamp": {"$exists": True}},
    {"timestamp": {"$gte": "yesterday", "$regex": "^2026"}},
    {"$or": [{"timestamp": {"$gt": AFTER}}, {"type": "userdefined"}]},
    {"$and": {}, "payload.timestamp": {"$gt": 7}},
]


@pytest.mark.parametrize("query", LIES_OUTSIDE, ids=repr)
async def test_a_message_outside_the_bounds_of_the_filter_is_an_error(
    query: dict[str, Any],
) -> None:
    """A service that does not understand a bound on `timestamp` answers other messages (D14).

    They are not taken for the result: the error says what to use instead.
    """
    async with RawServer(answering(200, body(stored(0, AT)))) as server:
        error = await failure_of(recent(server, query))
        assert len(server.requests) == 1
    assert type(error) is DecodeError
    assert error.path == "$.messages[0].timestamp"
    assert "use messages.walk with start and end" in str(error)


@pytest.mark.parametrize("query", LIES_INSIDE, ids=repr)
async def test_a_message_within_the_bounds_of_the_filter_is_returned(
    query: dict[str, Any] | None,
) -> None:
    """What keeps to the bounds, and a condition that is no bound, is the result."""
    async with RawServer(answering(200, body(stored(0, AT)))) as server:
        (message,) = await recent(server, query)
    assert message.timestamp == AT


async def test_an_empty_answer_keeps_to_any_bound() -> None:
    """A service that matches nothing gives nothing, and no error."""
    async with RawServer(answering(200, body())) as server:
        assert await recent(server, LIES_OUTSIDE[0]) == []
