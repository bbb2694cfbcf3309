"""Columns that a user chooses."""

from __future__ import annotations

import pytest

from iottly_async.cli.columns import columns_of, selected
from iottly_async.errors import ConfigurationError

RECORD = {"timestamp": "t", "payload": {"a": {"b": 1, "c.d": 2}, "a.x": 3, "e": [4]}}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("timestamp", "t"),
        ("payload.a.b", 1),
        ("payload.a.c.d", 2),
        ("payload.a.x", 3),
        ("payload.e", [4]),
        ("payload.e.0", None),
        ("payload.none", None),
        ("timestamp.a", None),
    ],
)
def test_dots_lead_into_objects(column: str, value: object) -> None:
    """A name that has dots itself is found, too; where there is nothing, the cell is empty."""
    assert selected(RECORD, [column]) == {column: value}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no column ''; there are timestamp, payload"),
        ("payload,", "no column ''"),
        ("paylod.a", "no column 'paylod.a'; did you mean 'payload'?"),
        ("payload.a,payload.a", "a column twice"),
    ],
)
def test_a_column_that_no_record_has_is_refused(text: str, error: str) -> None:
    """A typing error is no empty column."""
    with pytest.raises(ConfigurationError, match=error.replace("?", r"\?")):
        columns_of(text, names=("timestamp", "payload"))


def test_columns_are_given_with_commas() -> None:
    """Spaces around a name do not matter."""
    assert columns_of("timestamp, payload.a b", names=("timestamp", "payload")) == [
        "timestamp",
        "payload.a b",
    ]
