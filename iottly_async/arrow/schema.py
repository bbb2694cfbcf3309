"""The schema of messages in columns; a user's queries may rely on it.

| column | type | what it holds |
| --- | --- | --- |
| ``project_id`` | string | the project; null if it is unknown |
| ``device_id`` | string | the device that sent the message |
| ``timestamp`` | timestamp[ms, UTC] | the server's time of arrival |
| ``device_timestamp`` | timestamp[ms, UTC] | the time that the device recorded; null if absent |
| ``type`` | string | "userdefined", "iottlyagent" or another text; null if absent |
| ``channel`` | string | the channel that it was sent on; null if absent |
| ``payload`` | string | its JSON as it arrived, byte for byte |
| ``extra`` | string | fields that the API's documents do not name, as a JSON object; mostly null |
| ``key`` | string | unique, and the same for the same message in every run (`Message.key`) |

Texts that repeat have no dictionary in memory. A dictionary would save a tenth of the memory, but
pandas and polars would read the column as categories, which compare and join by other rules than
text. Parquet files and DuckDB encode such columns by themselves.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

VERSION: Final = 2
"""Of the schema. Version 1, of Parquet files, has no ``project_id``."""

TIME: Final = pa.timestamp("ms", tz="UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("project_id", pa.string()),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("timestamp", TIME, nullable=False),
        pa.field("device_timestamp", TIME),
        pa.field("type", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("payload", pa.string(), nullable=False),
        pa.field("extra", pa.string()),
        pa.field("key", pa.string(), nullable=False),
    ],
    metadata={"iottly_async.schema": str(VERSION)},
)
"""The columns of `record_batch`, in their order."""
