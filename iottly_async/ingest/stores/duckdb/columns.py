"""Messages as an Arrow table, which DuckDB reads in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from ....arrow import SCHEMA, record_batch
from ....models.row import MessageRow

# DuckDB 1.4 and later takes these for JSON. It need not check each text again, which takes a sixth
# of the time of a load: every text was decoded before, by a stricter decoder.
_IS_JSON: Final = {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
_SCHEMA: Final = pa.schema(
    [
        column.with_metadata(_IS_JSON) if column.name in ("payload", "extra") else column
        for column in SCHEMA
    ]
)


def table_of(rows: Sequence[MessageRow]) -> pa.Table:
    """Messages as a table with the columns of the table ``messages``.

    Args:
        rows: the messages; their payloads are valid JSON.

    Returns:
        The table.
    """
    columns = record_batch(rows).columns
    return pa.Table.from_arrays(columns, schema=_SCHEMA)
