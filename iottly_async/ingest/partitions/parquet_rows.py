"""Writes a partition's rows to one Parquet file; the columns are those of the Parquet store."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ...arrow import SCHEMA, record_batch
from ...models.row import MessageRow
from ..stores.appendfile import AppendFile

_ROW_GROUP: Final = 50_000  # rows


class ParquetRows:
    """Writes row groups of one size, so that the same rows always make the same file."""

    def __init__(self, file: AppendFile) -> None:
        self._writer = pq.ParquetWriter(_AppendStream(file), SCHEMA, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, rows: Sequence[MessageRow]) -> None:
        """Add rows. Full row groups are written."""
        self._batches.append(record_batch(rows))
        self._rows += len(rows)
        while self._rows >= _ROW_GROUP:
            self._put(_ROW_GROUP)

    def end(self) -> None:
        """Write the remaining rows and the file's footer."""
        if self._rows:
            self._put(self._rows)
        self._writer.close()

    def _put(self, rows: int) -> None:
        table = pa.Table.from_batches(self._batches, SCHEMA)
        self._writer.write_table(table.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._batches = table.slice(rows).to_batches()
        self._rows -= rows


class _AppendStream(io.RawIOBase):
    """An `AppendFile` as the file object that Arrow writes to."""

    def __init__(self, file: AppendFile) -> None:
        self._file = file

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Append all of `data`."""
        copied = bytes(data)
        self._file.append(copied)
        return len(copied)

    def tell(self) -> int:
        """The file's size in bytes."""
        return self._file.size
