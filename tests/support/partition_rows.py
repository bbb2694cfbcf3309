"""The rows in a folder of partitions, in the form of `stored_rows`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.stored_rows import Row, rows_of


def partition_rows(folder: Path) -> Counter[Row]:
    """All rows of all files, each with how often it occurs."""
    found: Counter[Row] = Counter()
    for path in files_of(folder):
        if path.suffix == ".parquet":
            found.update(map(_row, pq.read_table(path, partitioning=None).to_pylist()))
        else:
            found.update(rows_of(path))
    return found


def files_of(folder: Path) -> list[Path]:
    """The files of a folder, which hold rows."""
    return sorted(path for path in folder.iterdir() if path.is_file())


def rejected_files_of(folder: Path) -> list[Path]:
    """The files of rejected rows, beside the folder."""
    return sorted(Path(f"{folder}.ingest", "rejected").glob("*.jsonl"))


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The contents of all these files, by name."""
    return {
        path.name: path.read_bytes() for path in (*files_of(folder), *rejected_files_of(folder))
    }


def _row(row: dict[str, object]) -> Row:
    def ms(name: str) -> int | None:
        time = row[name]
        return None if time is None else round(time.timestamp() * 1000)  # type: ignore[attr-defined]

    return Row(
        row["device_id"],  # type: ignore[arg-type]
        ms("timestamp"),  # type: ignore[arg-type]
        ms("device_timestamp"),
        row["type"],  # type: ignore[arg-type]
        row["channel"],  # type: ignore[arg-type]
        row["payload"],  # type: ignore[arg-type]
    )
