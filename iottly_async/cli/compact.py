"""`iottly compact`: merges the small files of a Parquet store."""

from __future__ import annotations

from typing import Literal

from .exit_codes import ExitCode
from .output import FormatOption, Output


async def compact(
    folder: str,
    /,
    *,
    partition_by: Literal["day", "device"] | None = None,
    format: FormatOption = None,
) -> int:
    """Merge the small files of a Parquet store, and convert one that an earlier version made.

    Jobs merge files as they go, so this is for what a killed job left, for a new
    layout, and for many small files of other parts. Readers find the old files or the
    new ones. One that has listed the old files and opens them later gets "no such
    file". A store that a job writes to is refused, with exit code 5.

    Args:
        folder: The store's folder, such as telemetry.parquet.
        partition_by: "day" has all devices in one file after the other, "device" a
            folder for each device; by default as it is.

    Returns:
        The exit code.
    """
    # Imported here, so that `iottly --help` loads no aiohttp.
    from ..ingest.stores.parquet.compaction import compact as compact_store

    done = await compact_store(folder, partition_by=partition_by)
    Output(format).one(
        {
            "store": folder,
            "files": done.files,
            "files_before": done.files_before,
            "bytes": done.bytes,
            "bytes_before": done.bytes_before,
        }
    )
    return ExitCode.DONE
