"""Arguments are written as bodies and query parameters, or refused before anything is sent."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import ConfigurationError
from iottly_async.codec import (
    choice,
    encode_command,
    encode_fleet_command,
    encode_rename,
    fleet_query,
    history_filter,
    history_query,
    page_query,
)
from iottly_async.codec.requests import json_value
from iottly_async.config import TimestampFormat


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({}, {}),
        ({"content": "hi"}, {"echo.content": "hi"}),
        ({"echo.content": "hi"}, {"echo.content": "hi"}),
        ({"echo": 1}, {"echo.echo": 1}),
        ({"echo.": 1}, {"echo.": 1}),
        ({"echoes.a": 1}, {"echo.echoes.a": 1}),
        ({"Echo.a": 1}, {"echo.Echo.a": 1}),
        ({"a.b": 1, "echo.a": 2}, {"echo.a.b": 1, "echo.a": 2}),
        ({"è": "ü€😀"}, {"echo.è": "ü€😀"}),
    ],
)
def test_keys_of_a_command_get_their_prefix(values: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each key of `values` has the command's prefix once (v1.0, "Command API")."""
    assert json.loads(encode_command("echo", values)) == {"cmd_type": "echo", "values": sent}


def test_the_callers_mapping_is_left_as_it_was() -> None:
    """Encoding does not change its argument."""
    values = {"content": {"deep": [1, 2]}}
    encode_command("echo", values)
    assert values == {"content": {"deep": [1, 2]}}


def test_a_key_with_and_without_its_prefix_is_refused() -> None:
    """Two keys that would become the same on the wire are refused."""
    with pytest.raises(ConfigurationError, match=r"'echo\.a' twice"):
        encode_command("echo", {"a": 1, "echo.a": 2})


class Text(str):
    """A subclass of str."""

    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**70),
        1.5,
        "text",
        "\u2028\x00\n",
        [],
        {},
        [1, [2, {"a": None}]],
        {"a": {"b": [True]}},
        (1, 2),
        OrderedDict(a=1),
        MappingProxyType({"a": (1,)}),
        Text("mine"),
    ],
    ids=repr,
)
def test_what_json_holds_is_sent_as_it_is(value: Any) -> None:
    """Any value of JSON is accepted, also tuples and other mappings."""
    sent = json.loads(encode_command("c", {"v": value}))["values"]["c.v"]
    assert sent == json.loads(json.dumps(value, default=dict))


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - naive is what is refused
LOOP: dict[str, Any] = {}
LOOP["again"] = [LOOP]


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


REFUSED: list[tuple[str, Callable[[], object], str]] = [
    ("empty name", lambda: encode_command("", {}), "cmd_type"),
    ("blank name", lambda: encode_command(" \t", {}), "cmd_type"),
    ("name that is no text", lambda: encode_command(b"echo", {}), "cmd_type"),  # type: ignore[arg-type]
    ("name with half a pair", lambda: encode_command("\ud800", {}), "cmd_type"),
    ("values no mapping", lambda: encode_command("c", [("a", 1)]), "values"),  # type: ignore[arg-type]
    ("values None", lambda: encode_command("c", None), "values"),  # type: ignore[arg-type]
    ("empty key", lambda: encode_command("c", {"": 1}), "key of values"),
    ("key no text", lambda: encode_command("c", {1: 1}), "key of values"),  # type: ignore[dict-item]
    ("NaN", lambda: encode_command("c", {"a": float("nan")}), r"values\['a'\]"),
    ("infinity", lambda: encode_command("c", {"a": [1, float("inf")]}), r"values\['a'\]\[1\]"),
    ("endless number", lambda: encode_command("c", {"a": 10**5000}), r"values\['a'\] is beyond"),
    ("bytes", lambda: encode_command("c", {"a": b"x"}), r"values\['a'\].* bytes"),
    ("set", lambda: encode_command("c", {"a": {1}}), r"values\['a'\].* set"),
    ("object", lambda: encode_command("c", {"a": object()}), r"values\['a'\].* object"),
    ("datetime", lambda: encode_command("c", {"a": datetime.now(UTC)}), r"values\['a'\]"),
    ("deep key", lambda: encode_command("c", {"a": {"b": {2: 3}}}), r"values\['a'\]\['b'\]"),
    ("half a pair", lambda: encode_command("c", {"a": ["\udfff"]}), r"values\['a'\]\[0\]"),
    ("half a pair in a key", lambda: encode_command("c", {"a": {"\udfff": 1}}), "key of values"),
    ("loop", lambda: encode_command("c", LOOP), "holds itself"),
    ("too deep", lambda: encode_command("c", {"a": nested(200)}), "nested more than"),
    ("empty device name", lambda: encode_rename(""), "name"),
    ("blank device name", lambda: encode_rename("  "), "name"),
    ("device name None", lambda: encode_rename(None), "name"),  # type: ignore[arg-type]
    ("empty fleet command", lambda: encode_fleet_command("", 1), "command"),
    ("fleet command no text", lambda: encode_fleet_command(7, 1), "command"),  # type: ignore[arg-type]
    ("limit 0", lambda: history_query(0, None), "limit must be 1 to 100"),
    ("limit 101", lambda: history_query(101, None), "limit must be 1 to 100"),
    ("limit no number", lambda: history_query("10", None), "limit"),  # type: ignore[arg-type]
    ("limit True", lambda: history_query(True, None), "limit"),
    ("filter no mapping", lambda: history_filter("{}"), "query"),
    ("filter with bytes", lambda: history_filter({"a": {"$in": [b"x"]}}), r"\['\$in'\]\[0\]"),
    ("filter, naive time", lambda: history_filter({"a": NAIVE}), "naive"),
    ("page 0", lambda: fleet_query(0, 20), "number must be 1 or more"),
    ("per_page 0", lambda: fleet_query(1, 0), "per_page must be 1 to 100"),
    ("per_page 101", lambda: fleet_query(1, 101), "per_page must be 1 to 100"),
    ("unknown word", lambda: choice("up", ("asc", "desc"), name="order"), "asc, desc, not 'up'"),
    ("word no text", lambda: choice(1, ("asc",), name="order"), "order"),
]


@pytest.mark.parametrize(
    ("call", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_cannot_be_sent_is_refused(call: Callable[[], object], text: str) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        call()
    assert caught.value.sent == "no"


def test_a_fleet_command_says_its_timeout() -> None:
    """Whole seconds are written as an integer, as in the documents."""
    assert encode_fleet_command("uptime", 10.0) == b'{"command":"uptime","timeout_s":10}'
    assert encode_fleet_command("uptime", 0.5) == b'{"command":"uptime","timeout_s":0.5}'


def test_the_history_is_asked_for_with_a_filter() -> None:
    """The filter is one parameter of JSON; without a filter there is none."""
    assert history_query(10, None) == [("numMessages", "10")]
    query = {"type": "userdefined", "payload.t": {"$gt": 30}}
    (_, (name, text)) = history_query(100, query)
    assert name == "queryJson"
    assert json.loads(text) == query


def test_a_time_in_a_filter_is_a_date_of_mongodb() -> None:
    """An aware time anywhere in a filter is written as ``$date``, in UTC."""
    time = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    (_, (_, text)) = history_query(1, history_filter({"$or": [{"timestamp": {"$gte": time}}]}))
    assert json.loads(text) == {
        "$or": [{"timestamp": {"$gte": {"$date": "2026-01-01T00:00:00.000Z"}}}]
    }


@pytest.mark.parametrize(
    ("form", "since", "until"),
    [
        ("iso", "2018-07-27T17:50:04.968", "2018-07-27T17:50:05.000"),
        ("iso-z", "2018-07-27T17:50:04.968Z", "2018-07-27T17:50:05.000Z"),
        ("epoch-ms", "1532713804968", "1532713805000"),
        ("epoch-s", "1532713804.968", "1532713805"),
    ],
)
def test_a_page_is_asked_for(form: TimestampFormat, since: str, until: str) -> None:
    """A page's times are written in the form of the setting (D2)."""
    query = page_query(
        number=3,
        size=100,
        start=1532713804968,
        end=1532713805000,
        type="userdefined",
        order="asc",
        form=form,
    )
    assert dict(parse_qsl(query)) == {
        "p": "3",
        "l": "100",
        "type": "userdefined",
        "from": since,
        "to": until,
        "sort": "asc",
    }


def test_the_first_page_goes_without_a_number() -> None:
    """The first page has no number (D3), and an open bound is not sent."""
    query = page_query(
        number=None, size=1, start=None, end=None, type="all", order="desc", form="iso"
    )
    assert dict(parse_qsl(query)) == {"l": "1", "type": "all", "sort": "desc"}


def test_a_page_of_the_fleet_is_asked_for() -> None:
    """The fleet's pages have numbers from 1, and sizes of up to 100."""
    assert fleet_query(2, 100) == [("page", "2"), ("per_page", "100")]


texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=15,
)


@given(plain)
def test_plain_values_pass_unchanged(value: Any) -> None:
    """Any JSON value is written and read back unchanged."""
    assert json_value(value, "values") == value


@given(st.dictionaries(st.text(), plain | st.text()))
def test_a_command_is_sent_or_refused(values: dict[str, Any]) -> None:
    """Any text becomes valid UTF-8 JSON or is refused, also one with lone surrogates."""
    try:
        body = encode_command("c", values)
    except ConfigurationError:
        return
    assert set(json.loads(body)["values"]) == {
        k if k.startswith("c.") else f"c.{k}" for k in values
    }
