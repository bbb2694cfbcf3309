"""MongoDB's semantics of filters, operator by operator."""

import json
from typing import Any

import pytest

from iottly_async.emulator.http.filters import read_filter
from iottly_async.emulator.http.matching import Instant

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
        {"payload.o": {"b": 2, "a": 1}},
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
