"""JSON is cut like a decoder would read it, garbage is refused, and the time is linear."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iottly_async import DecodeError
from iottly_async.codec.json_slices import NotJSON, split_array, split_object

from .samples import read_page

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)
shapes: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    indent=st.sampled_from([None, 0, 3, "\t"]),
    ensure_ascii=st.booleans(),
    separators=st.sampled_from([(",", ":"), (" , ", " : ")]),
)


def same(piece: bytes, value: object) -> bool:
    """Whether a slice decodes to a value; NaN equals NaN."""
    return json.dumps(json.loads(piece), sort_keys=True) == json.dumps(value, sort_keys=True)


@given(st.dictionaries(texts, values), shapes)
def test_an_object_is_cut_into_its_members(value: dict[str, object], shape: dict[str, Any]) -> None:
    """The members of any JSON object are found, each with its value."""
    members = split_object(json.dumps(value, **shape).encode())
    assert list(members) == list(value)
    assert all(same(members[name], value[name]) for name in value)


@given(st.lists(values), shapes)
def test_an_array_is_cut_into_its_elements(value: list[object], shape: dict[str, Any]) -> None:
    """The elements of any JSON array are found, in order."""
    elements = list(split_array(json.dumps(value, **shape).encode()))
    assert len(elements) == len(value)
    assert all(map(same, elements, value))


jsonish = st.text('{}[]",:\\ u0d8ntrf1e-.\n\x00é').map(str.encode)


@given(st.binary() | jsonish)
@example(b'{"a": "\\')
@example(b'["')
@example(b"{" * 5000)
@example(b"\xff")
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    """Any bytes are cut or raise NotJSON, and no other error."""
    with suppress(NotJSON):
        split_object(data)
    with suppress(NotJSON):
        list(split_array(data))


@given(st.binary() | jsonish)
def test_a_page_of_garbage_is_a_decode_error(data: bytes) -> None:
    """Garbage instead of a page, a message or a payload is read or raises DecodeError."""
    for body in (data, b'{"messages": %s}' % data, b'{"messages": [{"payload": %s}]}' % data):
        with suppress(DecodeError):
            read_page(body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"{",
        b"{}}",
        b"{} {}",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a":1 "b":2}',
        b"{a:1}",
        b'{"a":1',
        b"[]",
        b"null",
        b'"{}"',
    ],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """Bytes without the structure of one object are refused."""
    with pytest.raises(NotJSON):
        split_object(data)


@pytest.mark.parametrize("data", [b"", b"[", b"[1,]", b"[,1]", b"[1 2]", b"[]]", b"{}", b"[1"])
def test_what_is_no_array_is_refused(data: bytes) -> None:
    """Bytes without the structure of one array are refused."""
    with pytest.raises(NotJSON):
        list(split_array(data))


def test_names_with_escapes_are_the_names_they_mean() -> None:
    """Escapes in a key are decoded; a lone surrogate in it is replaced."""
    assert list(split_object(rb'{"t\u0079pe": 1, "\ud800": 2, "a\"b": 3}')) == ["type", "?", 'a"b']


def test_of_duplicate_names_the_last_wins() -> None:
    """Of duplicate keys the last wins."""
    assert split_object(b'{"a": 1, "a": [2]}') == {"a": b"[2]"}


@pytest.mark.parametrize(
    "unit", [b'\\"', b'"', b"[", b"{", b'{"a":', b'"a",', b"1,", b" ", b"\\", b'[[],"'], ids=repr
)
def test_the_work_grows_with_the_input_and_no_faster(unit: bytes) -> None:
    """The time grows linearly, however often a part is repeated.

    Were it otherwise, a megabyte of them would take hours.
    """
    data = b'[{"x": "' + unit * 300_000
    with pytest.raises(NotJSON):
        list(split_array(data))
    with pytest.raises(NotJSON):
        split_object(data[1:])
