"""The log of rows that are durable and not yet in a Parquet file.

A flush must be cheap, and a Parquet file must hold many rows. So rows are first appended to a log,
as Arrow IPC streams, and a cut moves them into files later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa

from ....arrow import SCHEMA
from ..appendfile import AppendFile, reading


class RowLog:
    """Appends rows to a log. All methods raise `OSError`.

    Args:
        path: of the file. It is created with the first row.
        size: bytes of it that count.
        end: a digest of the last of them (`AppendFile.end`).

    Raises:
        ConfigurationError: the file is shorter, or has another content there.
    """

    def __init__(self, path: str, size: int = 0, end: str = "") -> None:
        self._file = AppendFile(path)
        if self._file.exists:
            self._file.open(follow=False)
        self._file.cut(size, end)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._file.size

    def end(self) -> str:
        """A digest of the last bytes."""
        return self._file.end()

    def append(self, rows: pa.RecordBatch) -> None:
        """Append rows. They are durable after `sync`."""
        self._file.open(follow=False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, SCHEMA) as stream:
            stream.write_batch(rows)
        self._file.append(sink.getvalue().to_pybytes())

    def sync(self) -> None:
        """Return once everything that was appended is on the disk."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def delete(self) -> None:
        """Close and delete the file. A reader that has it open keeps it."""
        self._file.close()
        with suppress(OSError):
            os.unlink(self._file.path)


def logged_rows(path: str, size: int) -> pa.Table:
    """The rows of the first `size` bytes of a log.

    Raises:
        ConfigurationError: the file cannot be read, or was altered.
        FileNotFoundError: there is no such file, and `size` is not 0.
    """
    if not size:
        return SCHEMA.empty_table()
    with pa.memory_map(path) as file, reading(path):
        return pa.Table.from_batches([*_batches(pa.BufferReader(file.read_buffer(size)))], SCHEMA)


def _batches(data: pa.BufferReader) -> Iterator[pa.RecordBatch]:
    size = data.size()
    while data.tell() < size:
        with pa.ipc.open_stream(data) as stream:
            yield from stream
