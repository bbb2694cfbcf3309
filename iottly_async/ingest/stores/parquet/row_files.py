"""Writes rows into the Parquet files of a folder.

A folder has one open file for each place (`schema`): the last one, while it is smaller than the
target. New rows are merged into it, so that files stay few and each is in order. The merged file
is written aside. It holds all rows of the open file, so that it can replace it in one step.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import define, field

from ...payload_columns import PayloadColumn
from ..aside import SUFFIX, create_aside, new_mode, set_mode
from .merge import by_device, in_order, merged, row_groups
from .schema import PartitionBy, device_folder, file_name, names_in, number_of
from .typed import schema_of, with_columns

_CHUNK: Final = 500_000  # rows in memory
_OVER: Final = 1.25
"""How much larger than the target a file may become by a merge."""
# Only texts that repeat get a dictionary. Keys are random: without the length of each between them,
# they compress to little more than their entropy.
_DICTIONARIES: Final = ["project_id", "device_id", "type", "channel"]
_ENCODINGS: Final = {
    "key": "DELTA_LENGTH_BYTE_ARRAY",
    "timestamp": "DELTA_BINARY_PACKED",
    "device_timestamp": "DELTA_BINARY_PACKED",
}


@define(kw_only=True)
class RowFiles:
    """Writes rows into the files of a part of a folder.

    Attributes:
        folder: of the rows.
        part: the name of the part.
        partition_by: how rows are divided.
        target_bytes: the size from which a file gets no more rows.
        number: of the last file that was made.
        columns: the typed columns that all files have.
    """

    folder: str
    part: str
    partition_by: PartitionBy
    target_bytes: int
    number: int
    columns: Sequence[PayloadColumn] = ()
    _mode: int = field(factory=new_mode, init=False)

    def write(
        self, rows: pa.Table, aside: str, token: str, *, again: Iterable[str] = ()
    ) -> dict[str, str]:
        """Write rows to files aside.

        Args:
            rows: in any order.
            aside: what the paths of the files begin with.
            token: a random text in their names.
            again: the names, within the folder, of files that have other typed columns. They are
                written again, too.

        Returns:
            The name that each file gets within the folder, by the name that it has aside.
            Existing names are those of files that it replaces.

        Raises:
            OSError: a file cannot be read or written.
        """
        files: dict[str, str] = {}
        folder, prefix = os.path.split(aside)
        for place, own in self._divided(with_columns(rows, self.columns)):
            open_file = self._open_file(place)
            if open_file is not None and self._fits(open_file, own):
                name = f"{prefix}-{len(files)}.{token}{SUFFIX}"
                self._write_again(open_file, os.path.join(folder, name), iter([own]))
                files[name] = open_file
                continue
            groups = row_groups([own])
            while (first := next(groups, None)) is not None:
                name = f"{prefix}-{len(files)}.{token}{SUFFIX}"
                self._write(chain([first], groups), os.path.join(folder, name), endless=False)
                self.number += 1
                files[name] = os.path.join(place, file_name(self.part, self.number))
        for old in sorted({*again} - {*files.values()}):
            name = f"{prefix}-{len(files)}.{token}{SUFFIX}"
            self._write_again(old, os.path.join(folder, name))
            files[name] = old
        return files

    def fill(self, tables: Iterable[pa.Table]) -> None:
        """Write rows into a folder that no reader knows yet.

        Args:
            tables: the rows. Memory holds half a million of them.

        Raises:
            OSError: a file cannot be read or written.
        """
        held: list[pa.Table] = []
        for table in chain(tables, [None]):
            held += [] if table is None else [with_columns(table, self.columns)]
            if held and (table is None or sum(map(len, held)) >= _CHUNK):
                aside = os.path.join(self.folder, "aside")
                for name, final in self.write(pa.concat_tables(held), aside, "").items():
                    path = os.path.join(self.folder, final)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    os.replace(os.path.join(self.folder, name), path)
                held = []

    def _divided(self, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each place, in order."""
        if not rows.num_rows:
            return
        if self.partition_by == "day":
            yield "", in_order(rows).combine_chunks()
        else:
            for device_id, own in by_device(rows):
                yield device_folder(device_id), own

    def _open_file(self, place: str) -> str | None:
        """The last file of a place."""
        names = names_in(os.path.join(self.folder, place))
        own = [name for name in names if number_of(name, self.part) is not None]
        last = max(own, key=lambda name: number_of(name, self.part) or 0, default=None)
        return None if last is None else os.path.join(place, last)

    def _fits(self, name: str, rows: pa.Table) -> bool:
        path = os.path.join(self.folder, name)
        size = os.path.getsize(path)
        if size >= self.target_bytes:
            return False
        count: int = pq.read_metadata(path).num_rows
        return bool(size * (1 + rows.num_rows / max(count, 1)) <= _OVER * self.target_bytes)

    def _write_again(self, name: str, path: str, *more: Iterator[pa.Table]) -> None:
        """Write the rows of a file, merged with others."""
        with pq.ParquetFile(os.path.join(self.folder, name)) as file:
            self._write(row_groups(merged([self._tables(file), *more])), path, endless=True)

    def _tables(self, file: pq.ParquetFile) -> Iterator[pa.Table]:
        for group in range(file.num_row_groups):
            yield with_columns(file.read_row_group(group), self.columns)

    def _write(self, groups: Iterator[pa.Table], path: str, *, endless: bool) -> None:
        """Write row groups until the file has the target's size, or all of them if `endless`."""
        texts = [one.name for one in self.columns if one.kind == "text"]
        with io.FileIO(create_aside(path, os.O_RDWR), "r+b") as file:
            with pq.ParquetWriter(
                file,
                schema_of(self.columns),
                compression="zstd",
                use_dictionary=[*_DICTIONARIES, *texts],
                column_encoding=_ENCODINGS,
                write_statistics=["device_id", "timestamp"],
            ) as writer:
                for group in groups:
                    writer.write_table(group)
                    if file.tell() >= self.target_bytes and not endless:
                        break
            set_mode(file.fileno(), self._mode)
            os.fsync(file.fileno())
