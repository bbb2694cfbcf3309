"""Rows of a partition in one Parquet file; the columns are those of the Parquet store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ...models import Message
from ..stores.appendfile import AppendFile
from ..stores.parquet.schema import SCHEMA, slices_of
from .files import Sink

_ROW_GROUP: Final = 50_000


class ParquetRows:
    """Writes row groups of always the same size, so that the same rows make the same file."""

    def __init__(self, file: AppendFile) -> None:
        self._writer = pq.ParquetWriter(Sink(file), SCHEMA, compression="zstd")
        self._slices: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, messages: Sequence[Message]) -> None:
        """Take rows."""
        for _, rows in slices_of(messages):
            self._slices.append(rows)
            self._rows += rows.num_rows
        while self._rows >= _ROW_GROUP:
            self._put(_ROW_GROUP)

    def end(self) -> None:
        """Write what is left, and the file's end."""
        if self._rows:
            self._put(self._rows)
        self._writer.close()

    def _put(self, rows: int) -> None:
        table = pa.Table.from_batches(self._slices, SCHEMA)
        self._writer.write_table(table.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._slices = table.slice(rows).to_batches()
        self._rows -= rows
