"""Payloads that no decoder accepts are kept as bytes, and raise DecodeError when read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from iottly_async import DecodeError, Message
from iottly_async.codec import decode_message

from .samples import paged, raw_answer, raw_row, read_history, read_page

UNREADABLE: Final = {
    "NaN": b'{"v": NaN}',
    "infinity": b'{"v": -Infinity}',
    "lone surrogate": b'{"v": "\\ud800"}',
    "lone surrogate, low": b'{"v": "\\udc00x"}',
    "bad UTF-8": b'{"v": "\xff\xfe"}',
    "out of range": b'{"v": 1e999}',
    "5,000 digits": b'{"v": ' + b"9" * 5000 + b"}",
    "10,000 levels": b"[" * 10_000 + b"]" * 10_000,
    "10,000 levels of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "control character": b'{"v": "\x01"}',
    "leading zero": b'{"v": 01}',
    "comment": b'{"v": 1 /* one */}',
    "single quotes": b"{'v': 1}",
    "trailing comma": b'{"v": 1,}',
    "bare word": b"undefined",
    "wrong brackets": b'{"v": [1}]',
}

unreadable = pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)


def alone(body: bytes) -> list[Message]:
    """Read a single message, as a list."""
    return [decode_message(body)]


@unreadable
@pytest.mark.parametrize("read", [read_page, read_history])
def test_an_unreadable_payload_does_not_fail_its_page(
    payload: bytes, read: Callable[[bytes], list[Message]]
) -> None:
    """A page with such a payload is read, and the payload's bytes are kept."""
    good = raw_row('{"v": 1}')
    messages = read(raw_answer(good, raw_row(payload), good))
    assert [message.payload_json for message in messages] == [b'{"v": 1}', payload, b'{"v": 1}']
    assert messages[0].payload == {"v": 1}
    assert messages[0].timestamp == messages[1].timestamp
    assert messages[1].channel == paged()["channel"]


@unreadable
def test_an_unreadable_payload_is_an_error_when_it_is_read(payload: bytes) -> None:
    """Each read raises DecodeError, which names the path and quotes nothing of the payload."""
    (message,) = alone(raw_row(payload))
    for _ in range(2):
        with pytest.raises(DecodeError, match="payload is n") as caught:
            message.payload  # noqa: B018 - looking at it is what is tested
        assert caught.value.path == "$.payload"
        assert caught.value.__cause__ is caught.value.__context__ is None


@unreadable
def test_an_unreadable_payload_has_a_key(payload: bytes) -> None:
    """The key is made from the bytes, so it is the same on every page."""
    (first,) = alone(raw_row(payload))
    second = read_page(raw_answer(raw_row("{}"), raw_row(payload)))[1]
    assert first.key == second.key
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
        (b"null", None),
        (b"17", 17),
        (b'"text"', "text"),
        (b"[]", []),
        (b'{"\\u0061": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"": {"": ""}}', {"": {"": ""}}),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"-0.0", 0.0),
        (b"[" * 200 + b"]" * 200, None),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_what_is_json_is_read(payload: bytes, value: object) -> None:
    """Any JSON value is a payload; of duplicate keys the last wins."""
    (message,) = read_page(raw_answer(raw_row(payload)))
    assert message.payload_json == payload
    if value is not None:
        assert message.payload == value
    message.payload  # noqa: B018 - it raises where it cannot be read


def test_a_payload_is_decoded_once() -> None:
    """The decoded payload is kept: a second read returns the same object."""
    (message,) = read_page(raw_answer(raw_row('{"v": [1]}')))
    assert message.payload is message.payload


INVALID = pytest.mark.parametrize("value", [b'"\\ud800"', b'"\xff"', b"NaN", b"[" * 10_000])


def with_field(name: str, value: bytes) -> tuple[bytes, bytes]:
    """An answer whose second row has a field with this value, and the value."""
    value += b"]" * value.count(b"[")
    row = raw_row("{}")[:-1] + b', "%s": %s}' % (name.encode(), value)
    return raw_answer(raw_row("{}"), row), value


@pytest.mark.parametrize("name", ["from", "timestamp"])
@INVALID
def test_invalid_json_in_a_needed_field_is_an_error(name: str, value: bytes) -> None:
    """Invalid JSON in a row's time or device raises DecodeError at its path, and no other error."""
    body, _ = with_field(name, value)
    with pytest.raises(DecodeError) as caught:
        read_page(body)
    assert caught.value.path == f"$.messages[1].{name}"


@pytest.mark.parametrize("name", ["to", "type", "channel", "devicetimestamp", "_id"])
@INVALID
def test_invalid_json_in_an_optional_field_is_kept_as_bytes(name: str, value: bytes) -> None:
    """Invalid JSON in another field is kept in `extra` as its bytes (D8)."""
    body, kept = with_field(name, value)
    first, second = read_page(body)
    assert second.extra == {name: kept}
    assert second.timestamp == first.timestamp


def test_a_page_cut_short_is_an_error() -> None:
    """A truncated page is an error, wherever it is cut."""
    body = raw_answer(raw_row('{"v": "x"}'), raw_row("NaN"))
    for length in range(len(body)):
        with pytest.raises(DecodeError):
            read_page(body[:length])
