"""A dlt pipeline whose source is this library: tables of Arrow, and a cursor for each device.

    pip install "iottly-async[arrow]" "dlt[duckdb]"
    export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
    python examples/dlt_pipeline.py telemetry.duckdb

Run it again, from a timer or after a crash: it fetches only what is new. The cursors are in dlt's
state, which it loads together with the rows that they follow. Each run takes the state from the
destination and begins with an empty working folder: what a killed run has left in it, dlt cannot
always go on with. What such a run had loaded is fetched again and merged by its key.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncGenerator

import dlt
import pyarrow as pa

from iottly_async import Cursor, DevicesFailedError, IottlySession


@dlt.resource(name="messages", primary_key="key", write_disposition="merge")
async def messages(project: str, failed: list[str]) -> AsyncGenerator[pa.Table, None]:
    """Yield what is new of all devices.

    Args:
        project: its id.
        failed: gets the errors of devices that cannot be read; the others are.
    """
    cursors: dict[str, str] = dlt.current.resource_state().setdefault("cursors", {})
    known = {device: Cursor.from_json(text) for device, text in cursors.items()}
    async with IottlySession() as session:
        try:
            found = session.project(project).messages.arrow_many(cursors=known)
            async for rows, reached in found:
                # Before the rows are yielded: dlt may stop the generator after any table.
                cursors.update({device: cursor.to_json() for device, cursor in reached.items()})
                if rows.num_rows:
                    yield pa.Table.from_batches([rows])
        except DevicesFailedError as error:
            failed += [f"{device}: {failure.error}" for device, failure in error.failures.items()]


def main(file: str) -> int:
    """Fetch and load once; return the exit code."""
    folder, failed = f"{file}.dlt", list[str]()
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = dlt.pipeline(
        "iottly",
        pipelines_dir=folder,
        destination=dlt.destinations.duckdb(file),
        dataset_name="iottly",
    )
    source = messages(os.environ["IOTTLY_PROJECT"], failed)
    source.apply_hints(columns={"payload": {"data_type": "json"}})
    print(pipeline.run(source, loader_file_format="parquet"))
    for error in failed:
        print(error, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
