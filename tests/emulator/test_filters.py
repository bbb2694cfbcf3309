"""MongoDB's semantics of filters, operator by operator."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from iottly_async.emulator.http.filters import read_filter
from iottly_async.emulator.http.matching import Instant
from tests.support.mongo_model import matches

from .conftest import Api

DOCUMENT = {
    "type": "userdefined",
    "timestamp": Instant(1_000),
    "payload": {
        "n": 5,
        "f": 5.0,
        "text": "warm",
        "yes": True,
        "none": None,
        "list": [1, 2, {"x": 9}],
        "rows": [{"v": 1}, {"v": 2}],
        "o": {"a": 1, "b": 2},
    },
}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"type": "userdefined"},
        {"payload.n": 5},
        {"payload.n": 5.0},
        {"payload.f": {"$eq": 5}},
        {"payload.n": {"$gt": 4, "$lt": 6}},
        {"payload.n": {"$ne": 6}},
        {"payload.text": {"$gte": "war"}},
        {"payload.n": {"$in": [1, 5]}},
        {"payload.n": {"$nin": [1, 6]}},
        {"payload.absent": None},
        {"payload.none": None},
        {"payload.absent": {"$ne": 1}},
        {"payload.absent": {"$exists": False}},
        {"payload.none": {"$exists": True}},
        {"payload.list": 2},
        {"payload.list": [1, 2, {"x": 9}]},
        {"payload.list.0": 1},
        {"payload.list.x": 9},
        {"payload.rows.v": 2},
        {"payload.rows.1.v": {"$gte": 2}},
        {"payload.o": {"a": 1, "b": 2}},
        {"payload.none": {"$gte": None}},
        {"payload.absent": {"$lte": None}},
        {"payload.o": {"$gt": {"a": 1}}},
        {"payload.list": {"$lt": [1, 3]}},
        {"payload.n": {"$exists": "yes"}},
        {"payload.n": {"$not": {"$gt": 5}}},
        {"payload.absent": {"$not": {"$gt": 5}}},
        {"$or": [{"payload.n": 1}, {"payload.yes": True}]},
        {"$and": [{"payload.n": 5}, {"payload.yes": True}]},
        {"$nor": [{"payload.n": 1}, {"payload.yes": False}]},
        {"timestamp": {"$date": "1970-01-01T00:00:01Z"}},
        {"timestamp": {"$lte": {"$date": {"$numberLong": "1000"}}}},
        {"payload.n": {"$numberLong": "5"}},
    ],
)
def test_matches(query: dict[str, Any]) -> None:
    """The document matches."""
    assert read_filter(json.dumps(query)).matches(DOCUMENT)


@pytest.mark.parametrize(
    "query",
    [
        {"type": "iottlyagent"},
        {"payload.n": "5"},
        {"payload.n": True},
        {"payload.yes": 1},
        {"payload.n": {"$gt": "4"}},
        {"payload.yes": {"$gte": 0}},
        {"payload.n": {"$gt": 5}},
        {"payload.n": {"$gt": 4, "$lt": 5}},
        {"payload.n": None},
        {"payload.absent": {"$gt": 0}},
        {"payload.absent": {"$exists": True}},
        {"payload.list": [2, 1]},
        {"payload.o": {"a": 1}},
        {"payload.o": {"b": 2, "a": 1}},
        {"payload.none": {"$gt": None}},
        {"payload.n": {"$lt": [9]}},
        {"payload.n": {"$exists": None}},
        {"payload.n": {"$nin": [5]}},
        {"payload.list": {"$ne": 2}},
        {"$or": [{"payload.n": 1}, {"payload.yes": False}]},
        {"$nor": [{"payload.n": 5}]},
        {"timestamp": "1970-01-01T00:00:01Z"},
        {"timestamp": 1000},
        {"timestamp": {"$lt": {"$date": 1000}}},
    ],
)
def test_does_not_match(query: dict[str, Any]) -> None:
    """The document does not match."""
    assert not read_filter(json.dumps(query)).matches(DOCUMENT)


@pytest.mark.parametrize(
    ("query", "document", "found"),
    [
        ({"a.b": None}, {"a": []}, False),
        ({"a.b": None}, {"a": [{}, {"b": 5}]}, True),
        ({"a.b": None}, {"a": [5, {"b": 5}]}, False),
        ({"a.b": None}, {"a": 5}, True),
        ({"a.b": None}, {"a": None}, True),
        ({"a.b": None}, {"a": [[{}]]}, False),
        ({"a.b": {"$ne": None}}, {"a": []}, True),
        ({"a.b": {"$ne": None}}, {"a": [{"b": 3}, {}]}, False),
        ({"a.b": {"$in": [None, 75]}}, {"a": [{"b": 3}, {}]}, True),
        ({"a.b": {"$nin": [None, 75]}}, {"a": [{"b": 3}, {}]}, False),
        ({"a.b": {"$not": {"$gte": None}}}, {"a": [1, 2]}, True),
        ({"a.b": {"$exists": False}}, {"a": [{"b": 3}, {}]}, False),
        ({"a.b": {"$exists": False}}, {"a": [[{"b": 3}]]}, True),
        ({"a": {"$in": []}}, {"a": 1}, False),
        ({"a": {"$nin": []}}, {}, True),
        ({"a": {"$exists": 1}}, {"a": 1}, True),
        ({"a": {"$exists": 0}}, {"a": None}, False),
        ({"a": {"$lt": 2}}, {"a": True}, False),
        ({"a": {"$gte": False}}, {"a": 0}, False),
        ({"a": {"$gt": 1, "$lt": 2}}, {"a": [0, 5]}, True),
        ({"a": {"$gt": 1, "$lt": 2}}, {"a": [0, 1]}, False),
        ({"a": {"$gte": 4, "$lt": 2}}, {"a": [0, 5]}, True),
        ({"a": []}, {"a": [[]]}, True),
        ({"a": [1]}, {"a": [[1], 2]}, True),
        ({"a": [[1], 2]}, {"a": [[1], 2]}, True),
        ({"a.1": 2}, {"a": [5, [2, 4], 3]}, False),
        ({"a.1": [2, 4]}, {"a": [5, [2, 4], 3]}, True),
        ({"a.1": 4}, {"a": [5, {"1": 4}, 3]}, True),
        ({"a.1": {"1": 4}}, {"a": [5, {"1": 4}, 3]}, True),
        ({"a.1.b": 4}, {"a": [5, [{"b": 4}], 3]}, True),
        ({"a.1.b": 4}, {"a": [5, {"b": 4}, 3]}, True),
        ({"a.1.0": 4}, {"a": [5, [4], 3]}, True),
        ({"a.1": None}, {"a": [5]}, False),
        ({"a.1": None}, {"a": [5, None]}, True),
        ({"a.00": 5}, {"a": [5]}, False),
        ({"a.-1": 5}, {"a": [5]}, False),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, False),
        ({"a": {"x": 1, "y": 2}}, {"a": [{"x": 1, "y": 2.0}]}, True),
        ({"a": {"$in": [{"x": 1, "y": 2}]}}, {"a": {"y": 2, "x": 1}}, False),
        ({"a": {}}, {"a": {}}, True),
        ({"a": {}}, {}, False),
        ({"a": {"$gt": {"x": 9}}}, {"a": {"x": "1"}}, True),
        ({"a": {"$gt": {"y": 1}}}, {"a": {"x": 2}}, False),
        ({"a": {"$lte": [1, 2]}}, {"a": [1]}, True),
        ({"a": 2**53 + 1}, {"a": 2.0**53}, False),
    ],
    ids=json.dumps,
)
def test_arrays_null_and_objects(
    query: dict[str, Any], document: dict[str, Any], found: bool
) -> None:
    """Arrays, missing fields, null, positions and the order of fields count as in MongoDB."""
    assert read_filter(json.dumps(query)).matches(document) is found
    assert matches(query, document) is found, "the model disagrees"


@pytest.mark.parametrize(
    ("query", "bounds"),
    [
        ({}, (None, None, None)),
        ({"type": "userdefined"}, ("userdefined", None, None)),
        ({"type": {"$eq": "x"}}, ("x", None, None)),
        ({"type": {"$in": ["x"]}}, (None, None, None)),
        ({"timestamp": {"$gte": {"$date": 5}, "$lt": {"$date": 9}}}, (None, 5, 10)),
        ({"timestamp": {"$date": 7}}, (None, 7, 8)),
        ({"$or": [{"type": "x"}]}, (None, None, None)),
    ],
)
def test_bounds(query: dict[str, Any], bounds: tuple[Any, ...]) -> None:
    """The bounds for the store leave out no match."""
    made = read_filter(json.dumps(query))
    assert (made.type, made.start, made.end) == bounds


@pytest.mark.parametrize("date", [10**30, -(10**30), {"$numberLong": "-9223372036854775808"}])
@pytest.mark.parametrize("operator", ["$gte", "$lt", "$eq"])
async def test_dates_beyond_every_calendar(api: Api, operator: str, date: Any) -> None:
    """A date that no calendar has is compared like any other."""
    query = quote(json.dumps({"timestamp": {operator: {"$date": date}}}))
    answer = await api.get(f"{api.history}?queryJson={query}")
    later = isinstance(date, int) and date > 0
    expected = 0 if operator == "$eq" else 10 * (later is (operator == "$lt"))
    assert (answer.status, len(answer.json["messages"])) == (200, expected)
