"""Random filters and documents: the emulator agrees with a model of MongoDB's matching."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from iottly_async.emulator.http.filters import FilterError, read_filter
from iottly_async.emulator.http.matching import Instant
from tests.support.mongo_model import Date, matches
from tests.support.scale import sized

names = st.sampled_from(["a", "b", "0", "1", "00"])
paths = st.lists(names, min_size=1, max_size=4).map(".".join)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([-0.0, 0.5, 1.0, 2.0, "", "a", "b", "à", "1", 2**53, 2.0**53, 2**53 + 1]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.dictionaries(names, inner, max_size=2), max_size=3),
        st.dictionaries(names, inner, max_size=3),
    ),
    max_leaves=8,
)
dates = st.integers(-1, 2).map(lambda ms: {"$date": ms})
literals = st.one_of(values, values, dates)
documents = st.dictionaries(names, values, max_size=3)

comparisons = st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), literals)
memberships = st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(literals, max_size=3))
existence = st.tuples(st.just("$exists"), scalars)
plain = st.lists(st.one_of(comparisons, memberships, existence), min_size=1, max_size=2).map(dict)
negations = plain.map(lambda operators: {"$not": operators})
conditions = st.one_of(plain, plain, negations, literals)
fields = st.dictionaries(paths, conditions, min_size=1, max_size=2)
filters = st.recursive(
    fields,
    lambda inner: st.builds(
        lambda name, inners, more: {name: inners, **more},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=2),
        st.one_of(st.just({}), fields),
    ),
    max_leaves=3,
)


@settings(max_examples=sized(200, 6000))
@given(wanted=filters, document=documents, date=st.integers(-1, 2), device_date=st.booleans())
@example(wanted={"a.0.b": None}, document={"a": [{"b": 1}]}, date=0, device_date=False)
@example(wanted={"a.0.0": 1}, document={"a": [[1], {"0": 1}]}, date=0, device_date=False)
@example(wanted={"a": {"$lt": [1, 0]}}, document={"a": [[1]]}, date=0, device_date=False)
@example(wanted={"a": {"$gte": {"b": 1}}}, document={"a": {"a": 2}}, date=0, device_date=False)
@example(wanted={"t": {"$gt": {"$date": 0}}}, document={}, date=1, device_date=False)
@example(wanted={"a": {"$gt": 1}}, document={"a": 1}, date=0, device_date=False)
@example(wanted={"a": {"$lt": "a"}}, document={"a": "a"}, date=0, device_date=False)
@example(wanted={"a": {"$gte": None}}, document={}, date=0, device_date=False)
def test_a_filter_finds_what_mongodb_finds(
    wanted: dict[str, Any], document: dict[str, Any], date: int, device_date: bool
) -> None:
    """A filter matches a message if and only if MongoDB's rules say so."""
    name = "a" if device_date else "t"
    try:
        compiled = read_filter(json.dumps(wanted))
    except FilterError as error:
        if "nested deeper" not in str(error):
            raise
        reject()
    mine = compiled.matches(document | {name: Instant(date)})
    assert mine is matches(wanted, document | {name: Date(date)})
