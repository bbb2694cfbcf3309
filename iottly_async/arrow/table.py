"""One Arrow table of the rows of many batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..models.row import MessageRow
from .columns import record_batch
from .payload import PayloadColumns
from .schema import SCHEMA


class TableBuilder:
    """Makes a table of rows that come one group after the other.

    Args:
        paths: as in `PayloadColumns`.

    Raises:
        ConfigurationError: as `PayloadColumns`.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._parts: list[pa.RecordBatch] = []
        self._columns = PayloadColumns(paths)

    def add(self, rows: Sequence[MessageRow]) -> None:
        """Add rows.

        Raises:
            DecodeError: as `PayloadColumns.add`.
        """
        self._columns.add(rows)
        self._parts.append(record_batch(rows))

    def table(self) -> pa.Table:
        """The table with all rows."""
        return self._columns.append_to(pa.Table.from_batches(self._parts, SCHEMA))
