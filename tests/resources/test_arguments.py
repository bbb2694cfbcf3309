"""Wrong arguments are refused by name before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from iottly_async import ConfigurationError, Cursor, CursorMismatchError, IottlySession
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages

DEVICE = "d"
WRONG: dict[str, tuple[Callable[[Messages], Any], str]] = {
    "a cursor as text": (
        lambda messages: messages.batches(DEVICE, cursor='{"version":1}'),  # type: ignore[arg-type]
        r"cursor must be a Cursor, not str; Cursor\.from_json\(\)",
    ),
    "a cursor as a dict, to follow": (
        lambda messages: messages.follow(DEVICE, cursor={"version": 1}),  # type: ignore[arg-type]
        "cursor must be a Cursor, not dict",
    ),
    "cursors as texts": (
        lambda messages: messages.batches_many([DEVICE], cursors={DEVICE: "x"}),  # type: ignore[dict-item]
        "cursor must be a Cursor, not str",
    ),
    "cursors in a list": (
        lambda messages: messages.batches_many([DEVICE], cursors=["x"]),  # type: ignore[arg-type]
        "cursors must be a mapping of device ids to cursors, not list",
    ),
    "cursors in a list, to follow": (
        lambda messages: messages.follow_many([DEVICE], cursors=["x"]),  # type: ignore[arg-type]
        "cursors must be a mapping",
    ),
    "one device id": (
        lambda messages: messages.batches_many(DEVICE),
        "device_ids must be several ids, such as a list, not one text",
    ),
    "a number of devices": (
        lambda messages: messages.batches_many(5),  # type: ignore[arg-type]
        "device_ids must be several ids, such as a list, not int",
    ),
    "one device id, to follow": (
        lambda messages: messages.follow_many(DEVICE),
        "device_ids must be several ids",
    ),
    "devices and not their ids": (
        lambda messages: messages.batches_many([b"d"]),  # type: ignore[list-item]
        "device_ids must be a text, not b'd'",
    ),
    "order as a word": (
        lambda messages: messages.batches(DEVICE, ordered="no"),  # type: ignore[arg-type]
        "ordered must be True or False, not 'no'",
    ),
    "a proof as a word": (
        lambda messages: messages.batches(DEVICE, verify_ties="no"),  # type: ignore[arg-type]
        "verify_ties must be True or False, not 'no'",
    ),
    "looking back while going back": (
        lambda messages: messages.batches(DEVICE, order="desc", lookback=5),
        "lookback is for ascending walks",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_argument_of_a_walk_is_refused_by_the_call_itself(
    session: IottlySession, emulator: Emulator, name: str
) -> None:
    """The call raises, not the iteration. The text names the argument, and nothing is sent."""
    call, words = WRONG[name]
    with pytest.raises(ConfigurationError, match=words):
        call(session.project("p").messages)
    assert emulator.requests == []


def test_none_is_not_a_cursor() -> None:
    """A database row without a cursor is refused with a text that says so."""
    with pytest.raises(CursorMismatchError, match=r"not a cursor written by Cursor\.to_json"):
        Cursor.from_json(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": 5}, "api_key must be a text, not int"),
        ({"api_key": "k", "limiter": 5}, "limiter must be a RateLimiter or a RedisLimiter"),
        ({"api_key": "k", "http": 5}, "http must be an aiohttp.ClientSession"),
        ({"api_key": "k", "config": {}}, "config must be a Config, not dict"),
    ],
)
def test_a_session_of_wrong_parts_is_refused(arguments: dict[str, Any], words: str) -> None:
    """A session is refused when it is created, and the error names the argument."""
    with pytest.raises(ConfigurationError, match=words):
        IottlySession(**arguments)
