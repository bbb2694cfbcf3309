"""The layout of a Parquet store; a user's queries may rely on it.

The store is a folder of rows, and a folder of the job's own files beside it:

```text
telemetry.parquet/
  part-00000001.parquet         rows; with `partition_by="device"`: device=3781…/part-….parquet
telemetry.parquet.ingest/
  part.json                     the job's state file: `Manifest`
  part-00000004.rows            rows that are durable and not yet in a Parquet file (`RowLog`)
  part.pending                  the files of the last cut: `PendingCut`
  part.lock                     who writes this part now
  rejected/part.rejected.jsonl  what cannot be such a row, with the reason
  devices.parquet               one row a device (below)
```

Each Parquet file has the columns of `iottly_async.arrow.SCHEMA`. Its rows are in order of day (in
UTC), then device, then time. A row group has up to 20,000 rows, and a new day begins a new row
group if the last one has 5,000. The statistics of ``device_id`` and ``timestamp`` say what a
row group holds, so that a query for a day or a device reads only what it needs:

```sql
SELECT device_id, count(*)
FROM read_parquet('telemetry.parquet/**/*.parquet')
WHERE timestamp >= '2026-04-01' GROUP BY device_id
```

Typed columns (``columns`` of a job) follow those of `SCHEMA`: doubles, booleans, or strings, also
for JSON. All files have the same, and a column is in none as long as its type is unknown. When the
columns change, the next cut writes all files again, with the values of all rows; meanwhile the disk
holds them twice. So a folder with typed columns has one part.

What a reader sees while a job writes:

- A file is whole, or is not there. Rows are added by new files, and by replacing a file with
  one that holds its rows and more, in one step. So no row is ever missing or there twice.
- When typed columns change, the new files take the places of the old ones one after the other. A
  reader at that moment may find both kinds, and can read again.
- Rows are durable after a flush, and readers see them about half a minute later
  (`READABLE_AFTER`), at the latest when the job ends.
- Files disappear only when the folder is compacted. The new folder takes the place of the old
  one in one step. A reader that has listed the old files and opens one later gets an error of
  the system ("no such file"), and no other rows.

``devices.parquet`` has one row a device: ``device_id``, ``name``, ``status``, ``agent_version``,
and the times of its oldest and newest message, ``first_seen`` and ``last_seen``. A job replaces it
when it begins, when it ends, and each minute while it follows. Name and status are those of the
last job that took all devices of the project. A part with another name than ``part`` has its own,
``devices-<part>.parquet``.

```sql
SELECT name, count(*) FROM read_parquet('telemetry.parquet/**/*.parquet')
JOIN read_parquet('telemetry.parquet.ingest/devices*.parquet') USING (device_id) GROUP BY name
```

The two folders belong together: move, copy and delete both. Ids in folders' names are
percent-encoded as in a URL, which readers undo. The lines of ``rejected`` are those of a JSON
lines store's rejected file. Stores of earlier versions are converted (`conversion`).
"""

from __future__ import annotations

import os
import re
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from ....errors import ConfigurationError
from ...payload_columns import PayloadColumn
from ..state_log import FileState, read_state

PartitionBy = Literal["day", "device"]

VERSION: Final = 2
REJECTED_FOLDER: Final = "rejected"
DEFAULT_PART: Final = "part"
OLD_STATE_FOLDER: Final = "_ingest"
"""Where early versions kept the job's own files, in the folder of rows."""
DEVICE: Final = "device="
"""What the name of a device's folder begins with."""


class Manifest(FileState, kw_only=True):
    """The state file of a Parquet store.

    Attributes:
        cut: the number of the last cut, which moved rows from the log into files.
        file: the number of the last file that a cut made.
        log: bytes of the log of this cut that count.
        log_end: a digest of the last of them (`AppendFile.end`).
        rows: messages in the files and in the log.
        rejected: rejected rows.
        rejected_size: bytes of the file of rejected rows that count.
        rejected_end: a digest of the last of them.
        compactions: how often a compaction began or ended.
        columns: the typed columns that jobs have asked for.
        made: those that the files have.
    """

    cut: int = 0
    file: int = 0
    log: int = 0
    log_end: str = ""
    rows: int = 0
    rejected: int = 0
    rejected_size: int = 0
    rejected_end: str = ""
    compactions: int = 0
    columns: list[PayloadColumn] = msgspec.field(default_factory=list)
    made: list[PayloadColumn] = msgspec.field(default_factory=list)

    @property
    def columns_wait(self) -> bool:
        """Whether the files have other typed columns than they are to have."""
        return self.made != [one for one in self.columns if one.kind is not None]


class PendingCut(msgspec.Struct):
    """The last cut whose files were written. If the manifest does not count it, it is finished.

    Attributes:
        cut: its number.
        files: the final path of each file within the store's folder, by the name that it has in
            the state folder until it is renamed.
        id: as in the manifest that it belongs to.
        made: the typed columns that all files have after it.
        change: the manifest's number when it was begun; None in one of an earlier version.
    """

    cut: int
    files: dict[str, str]
    id: str
    made: list[PayloadColumn] = msgspec.field(default_factory=list)
    change: int | None = None


def new_manifest() -> Manifest:
    """The state of a new store."""
    return Manifest(version=VERSION)


def read_manifest(path: str, part: str) -> Manifest | None:
    """The manifest of a part of the store at `path`; None if there is none.

    Raises:
        ConfigurationError: it is not a manifest, or has another version.
        OSError: it cannot be read.
    """
    return read_state(state_path(path, part), Manifest, version=VERSION)


def read_pending(path: str, part: str) -> PendingCut | None:
    """The last cut of a part; None if there was none.

    Raises:
        ConfigurationError: the file is of something else.
        OSError: it cannot be read.
    """
    pending_path = state_path(path, part, "pending")
    try:
        with open(pending_path, "rb") as file:
            pending = msgspec.json.decode(file.read(), type=PendingCut)
        if all(
            is_aside_of(aside, part) and is_file_of(name, part)
            for aside, name in pending.files.items()
        ):
            return pending
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        pass
    raise ConfigurationError(
        f"{pending_path!r} was not written by this library; name another folder"
    )


def state_folder(path: str) -> str:
    """The folder of the job's own files, beside that of the rows."""
    return f"{path}.ingest"


def state_path(path: str, part: str, suffix: str = "json") -> str:
    """The path of a part's manifest, or of another file of the job's own."""
    return os.path.join(state_folder(path), f"{part}.{suffix}")


def devices_path(path: str, part: str) -> str:
    """The path of a part's file of devices."""
    name = "devices" if part == DEFAULT_PART else f"devices-{part}"
    return os.path.join(state_folder(path), f"{name}.parquet")


def log_path(path: str, part: str, cut: int) -> str:
    """The path of the log that follows a cut."""
    return os.path.join(state_folder(path), f"{part}-{cut:08d}.rows")


def rejected_path(path: str, part: str) -> str:
    """The path of a part's file of rejected rows."""
    return os.path.join(state_folder(path), REJECTED_FOLDER, f"{part}.rejected.jsonl")


def names_in(folder: str) -> list[str]:
    """The sorted names in a folder; none if there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def parts_of(path: str, *, suffix: str = "json") -> set[str]:
    """The parts that have a file of the job's own, a manifest by default."""
    names = names_in(state_folder(path))
    return {
        part
        for name in names
        if name.endswith(f".{suffix}") and is_part(part := name.removesuffix(f".{suffix}"))
    }


def device_folder(device_id: str) -> str:
    """The folder of a device's rows, within the store's folder."""
    return f"{DEVICE}{quote(device_id, safe='')}"


def layout_of(path: str) -> PartitionBy | None:
    """How the rows of a folder are divided; None if it has none."""
    names = names_in(path)
    if any(name.startswith(DEVICE) for name in names):
        return "device"
    return "day" if any(name.endswith(".parquet") for name in names) else None


def files_of(path: str, part: str) -> list[str]:
    """The names of a part's files within the store's folder, in the order of their numbers."""
    folders = ["", *(name for name in names_in(path) if name.startswith(DEVICE))]
    return [
        os.path.join(folder, name)
        for folder in folders
        for name in names_in(os.path.join(path, folder))
        if number_of(name, part) is not None
    ]


def file_name(part: str, number: int) -> str:
    """The name of a Parquet file."""
    return f"{part}-{number:08d}.parquet"


def number_of(file: str, part: str) -> int | None:
    """The number of a part's Parquet file; None if the file is another one."""
    found = re.fullmatch(rf"{re.escape(part)}-(\d+)\.parquet", file)
    return None if found is None else int(found[1])


def checked_part(part: str) -> str:
    """The name of a part, which is a part of files' names.

    Raises:
        ConfigurationError: it is not such a name.
    """
    if isinstance(part, str) and is_part(part):
        return part
    raise ConfigurationError(
        f"part must be 1 to 100 letters, digits, '.', '_' or '-', not {part!r}"
    )


def is_part(name: str) -> bool:
    """Whether a text can be the name of a part."""
    return re.fullmatch(r"\w[\w.-]{0,99}", name) is not None


def is_log_of(file: str, part: str) -> bool:
    """Whether a file of the state folder is a log of this part."""
    return re.fullmatch(rf"{re.escape(part)}-\d+\.rows", file) is not None


def is_aside_of(file: str, part: str) -> bool:
    """Whether a file of the state folder was written aside by a cut of this part."""
    return re.fullmatch(rf"{re.escape(part)}-\d+-\d+\.(?:[0-9a-f]+\.)?aside", file) is not None


def is_file_of(path: str, part: str) -> bool:
    """Whether a path within the store's folder is that of a part's file."""
    folder, _, name = path.rpartition("/")
    inside = not folder or (folder.startswith(DEVICE) and "/" not in folder)
    return inside and number_of(name, part) is not None
