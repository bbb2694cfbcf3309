"""The least that a store costs: its own bulk load of rows that are ready-made in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from iottly_async.ingest.stores.duckdb import schema as duckdb_schema
from iottly_async.ingest.stores.jsonl.lines import lines_of
from iottly_async.ingest.stores.jsonl.store import JSONLinesStore
from iottly_async.models.row import MessageRow

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP: Final = JSONLinesStore.group_rows  # rows of which lines are made together, as by a job


def bulk_load(store: str, rows: Sequence[MessageRow]) -> Callable[[str], int]:
    """Prepare a bulk load.

    Args:
        store: A name of a file store.
        rows: What is loaded; they have their keys.

    Returns:
        A function that loads the rows into a new store at a path, makes them durable, and
        returns their number. It makes lines of them; for the other stores they are Arrow already.
    """
    if store == "jsonl":
        return partial(_load_lines, rows, bytes)
    if store == "jsonl.zst":
        from zstandard import ZstdCompressor

        return partial(_load_lines, rows, ZstdCompressor().compress)
    load = _load_duckdb if store == "duckdb" else _load_parquet
    return partial(load, _table(rows))


def _table(rows: Sequence[MessageRow]) -> pa.Table:
    import pyarrow as pa

    from iottly_async.arrow import record_batch

    return pa.Table.from_batches([record_batch(rows)])


def _load_lines(rows: Sequence[MessageRow], pack: Callable[[bytes], bytes], place: str) -> int:
    with open(place, "wb") as file:
        for begin in range(0, len(rows), _GROUP):
            file.write(pack(lines_of(rows[begin : begin + _GROUP])))
        file.flush()
        os.fsync(file.fileno())
    return len(rows)


def _load_duckdb(table: pa.Table, place: str) -> int:
    import duckdb

    with duckdb.connect(place) as db:
        for statement in duckdb_schema.CREATE:
            db.execute(statement)
        db.register("incoming", table)
        described = db.execute("DESCRIBE messages").fetchall()
        columns = ", ".join(f"CAST({name} AS {kind})" for name, kind, *_ in described)
        db.execute(f"INSERT INTO messages SELECT {columns} FROM incoming")
    return int(table.num_rows)


def _load_parquet(table: pa.Table, place: str) -> int:
    import pyarrow.parquet as pq

    os.mkdir(place)
    path = os.path.join(place, "messages.parquet")
    pq.write_table(table, path, compression="zstd")
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return int(table.num_rows)
