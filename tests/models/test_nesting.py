"""Payloads are read down to 200 levels, on every Python and below any stack."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import DecodeError, Message
from iottly_async.codec import decode_webhook_payload
from iottly_async.models._nesting import nested_too_deeply
from tests.codec.samples import raw_answer, raw_row, read_page

AT = datetime(2018, 7, 27, 17, 50, 4, 968_000, UTC)
KINDS = {
    "arrays": (b"[", b"]"),
    "objects": (b'{"a":', b"}"),
    "with brackets in strings": (b'["]]}}\\"]",', b"]"),
    "with escapes in keys": (b'{"\\\\":', b"}"),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def nested(levels: int, kind: str = "arrays") -> bytes:
    """JSON of so many levels."""
    opening, closing = KINDS[kind]
    return opening * (levels - 1) + b"[1]" + closing * (levels - 1)


def made(payload: bytes) -> Message:
    return Message(device_id="d", timestamp=AT, payload_json=payload)


@each_kind
def test_a_payload_of_200_levels_is_read_and_one_of_201_is_not(kind: str) -> None:
    """The limit is the same for every kind of nesting, and the bytes are kept beyond it."""
    assert made(nested(200, kind)).payload == json.loads(nested(200, kind))
    for levels in (201, 900, 1500, 10_000, 100_000):
        data = nested(levels, kind)
        (message,) = read_page(raw_answer(raw_row(data)))
        assert message.payload_json == data
        with pytest.raises(DecodeError, match="nested more than 200 levels deep"):
            message.payload  # noqa: B018 - reading it is what is tested


def test_wide_payloads_are_read() -> None:
    """Many objects beside each other, or many brackets in texts, are not deep."""
    texts = ["[" * 1000, '"[' * 1000, "\\[" * 1000, {"{" * 1000: "]"}]
    wide: list[Any] = [
        [{"a": [index]} for index in range(1000)],
        {str(index): {} for index in range(1000)},
        [[0] * 5000],
        texts,
    ]
    for value in wide:
        for spaces in (None, 2):
            payload = json.dumps(value, indent=spaces).encode()
            assert made(payload).payload == value


@pytest.mark.parametrize(
    ("levels", "key"),
    [
        (200, "ec3080579b6633522b494abe34a4e85f"),
        (201, "e183663ddd48565c89adeed8b1de8c7b"),
        (1500, "59d0adcc6943029a5ed62a686f88c977"),
    ],
)
def test_the_key_of_a_deep_payload_is_the_same_on_every_python(levels: int, key: str) -> None:
    """Beyond the limit the key is made from the payload's bytes, however deep the stack is."""
    assert made(nested(levels)).key == key


@pytest.mark.parametrize("levels", [200, 201, 5000])
def test_a_deep_value_of_an_unknown_field(levels: int) -> None:
    """In `extra`, a value is decoded down to 200 levels, and kept as bytes beyond."""
    data = nested(levels)
    row = raw_row("{}")[:-1] + b', "more": %s}' % data
    for body in (raw_answer(row), raw_answer(row, raw_row("NaN"))):
        assert read_page(body)[0].extra == {"more": data if levels > 200 else json.loads(data)}


def test_the_bare_payload_of_a_webhook() -> None:
    """A webhook with "payload only" has the same limit."""
    assert decode_webhook_payload(nested(200)) == json.loads(nested(200))
    with pytest.raises(DecodeError, match="nested more than 200 levels deep"):
        decode_webhook_payload(nested(201))


scalars = st.none() | st.booleans() | st.integers() | st.text('[]{}",\\:é', max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\'), inner),
    max_leaves=15,
)


@given(values, st.integers(170, 201), st.sampled_from([None, 0, 1]), st.booleans())
def test_the_depth_of_any_json(value: Any, around: int, spaces: int | None, ascii_: bool) -> None:
    """Whether JSON is too deep is what a count of its levels says."""
    for _ in range(around):
        value = [value]
    text = json.dumps(value, indent=spaces, ensure_ascii=ascii_)
    assert nested_too_deeply(text.encode()) == (depth(value) > 200)


def depth(value: Any) -> int:
    """Levels of objects and arrays."""
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


@given(st.binary() | st.text('[]{}",\\: 1').map(str.encode))
def test_garbage_has_a_depth(data: bytes) -> None:
    """Any bytes are measured without an error."""
    assert nested_too_deeply(b"[" * 201 + data * 3) in (True, False)
