"""What a filter may cost the emulator: its length, depth, conditions and operators are bounded."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import pytest

from iottly_async.emulator.http.filters import FilterError, read_filter

DEEP = 10
WIDE = 100


def nested(levels: int, how: str) -> dict[str, Any]:
    """A filter within a filter, so many levels deep."""
    innermost: dict[str, Any] = {"type": "x"}
    return reduce(lambda inner, _: {how: [inner]}, range(levels), innermost)


@pytest.mark.parametrize("how", ["$and", "$or", "$nor"])
def test_depth_is_bounded(how: str) -> None:
    """A few levels are read, more than ten are refused."""
    read_filter(json.dumps(nested(3, how)))
    with pytest.raises(FilterError, match="nested deeper than 10"):
        read_filter(json.dumps(nested(DEEP + 1, how)))


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"payload":{"$not":'])
def test_hundreds_of_levels_are_refused(opening: str) -> None:
    """Nesting that would end another parser's stack is refused like any other text."""
    with pytest.raises(FilterError):
        read_filter(opening * 400)


@pytest.mark.parametrize(
    "query",
    [
        {"$or": [{"type": "x"}] * WIDE},
        {f"payload.f{number}": 1 for number in range(WIDE)},
        {"payload.a": {"$in": list(range(WIDE + 1))}},
    ],
    ids=["or", "fields", "in"],
)
def test_the_number_of_conditions_is_bounded(query: dict[str, Any]) -> None:
    """A hundred conditions in all are refused, however they are put."""
    with pytest.raises(FilterError, match="more than 100 conditions"):
        read_filter(json.dumps(query))


def test_the_length_is_bounded() -> None:
    """A text of more than eight kilobytes is not read."""
    with pytest.raises(FilterError, match="longer than 8192"):
        read_filter(json.dumps({"type": "x" * 9000}))


@pytest.mark.parametrize("path", ["payload" + ".a" * 16, "payload..a", ".", ""])
def test_a_path_is_bounded(path: str) -> None:
    """A path has sixteen names at most, and none is empty."""
    with pytest.raises(FilterError, match="a path has 1 to 16 names"):
        read_filter(json.dumps({path: 1}))


@pytest.mark.parametrize(
    "query",
    [
        {"$where": "while (1) {}"},
        {"$expr": {"$gt": ["$a", "$b"]}},
        {"$text": {"$search": "a"}},
        {"payload.a": {"$regex": "(a+)+$"}},
        {"payload.a": {"$not": {"$regex": "(a+)+$"}}},
        {"payload.a": {"$elemMatch": {"$regex": "(a+)+$"}}},
        {"payload.a": {"$in": [{"$regex": "(a+)+$"}]}},
        {"payload.a": {"$eq": {"b": {"$function": {"body": "x"}}}}},
        {"payload.a": {"$size": 1}},
    ],
    ids=json.dumps,
)
def test_what_runs_code_or_can_explode_is_not_there(query: dict[str, Any]) -> None:
    """No operator that evaluates an expression or a pattern of the caller's is known."""
    with pytest.raises(FilterError, match="not allowed"):
        read_filter(json.dumps(query))
