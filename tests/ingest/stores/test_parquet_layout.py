"""The layout of Parquet files, as properties: rows in order, groups of days, none lost."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.arrow import SCHEMA, record_batch
from iottly_async.ingest.stores.parquet.merge import (
    LEAST_GROUP,
    ROW_GROUP,
    group_sizes,
    in_order,
    key_at,
    merged,
)
from iottly_async.models import Message

BEGIN = datetime(1969, 12, 31, tzinfo=UTC)
ROWS = st.lists(
    st.builds(
        lambda device_id, minutes: Message(
            device_id=device_id, timestamp=BEGIN + timedelta(minutes=minutes)
        ),
        st.sampled_from(["a", "ä", "z", "\U0001f600"]),
        st.integers(0, 5_000),
    ),
    max_size=12,
)


def table_of(messages: list[Message]) -> pa.Table:
    """Messages as a table, in order."""
    return in_order(pa.Table.from_batches([record_batch(messages)], SCHEMA))


def keys_of(table: pa.Table) -> list[tuple[int, str, int]]:
    """The key of each row."""
    return [key_at(table, index) for index in range(table.num_rows)]


@given(st.lists(st.lists(ROWS, max_size=3), max_size=4))
def test_sources_are_merged_in_order(sources: list[list[list[Message]]]) -> None:
    """Whatever tables the sources have, all rows come once, by day, device and time."""
    tables = [table_of([one for part in source for one in part]) for source in sources]
    divided = [[table.slice(at, 3) for at in range(0, table.num_rows, 3)] for table in tables]
    found = [key for table in merged(map(iter, divided)) for key in keys_of(table)]
    assert found == sorted(found)
    assert Counter(found) == Counter(key for table in tables for key in keys_of(table))


@given(st.lists(st.integers(1, 3 * ROW_GROUP)))
def test_a_row_group_ends_with_a_day(days: list[int]) -> None:
    """Groups hold all rows, are not too large, and small only at the end or within a day."""
    sizes = group_sizes(days)
    assert sum(sizes) == sum(days)
    assert all(0 < size <= ROW_GROUP for size in sizes)
    assert all(size >= LEAST_GROUP for size in sizes[:-1])
    ends = {sum(days[: index + 1]) for index in range(len(days))}
    groups = {sum(sizes[: index + 1]) for index in range(len(sizes))}
    begun = 0
    for end in sorted(ends):
        if end - begun >= LEAST_GROUP:
            assert end in groups  # no group holds the end of a day and goes on
            begun = end
