"""Messages as Arrow columns, by one schema for Arrow, Parquet and DuckDB (extra ``arrow``).

Importing this package imports pyarrow, so the client imports it only where columns are made.
"""

from pyarrow import RecordBatch, Table

from .columns import record_batch
from .schema import SCHEMA

__all__ = ["SCHEMA", "RecordBatch", "Table", "record_batch"]
