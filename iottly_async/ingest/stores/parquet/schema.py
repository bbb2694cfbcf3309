"""The layout of a Parquet store; a user's queries may rely on it.

The store is a folder of rows, and a folder of the job's own files beside it:

```text
telemetry.parquet/
  project=59c1…/device=3781…/date=2026-04-05/part-00000017.parquet
telemetry.parquet.ingest/
  part.json                     the job's state file: `Manifest`
  part.pending                  the files of the last flush: `PendingFlush`
  part.lock                     who writes this part now
  rejected/part-00000017.jsonl  what cannot be such a row, with the reason
  devices.parquet               one row a device (below)
```

``date`` is the day of ``timestamp`` in UTC. Ids are percent-encoded as in a URL, which
readers of such folders undo. The lines of ``rejected`` are those of a JSON lines store's
rejected file. Each Parquet file has these columns:

- ``device_id``: string.
- ``timestamp``: timestamp[ms, UTC]; the server's time of arrival.
- ``device_timestamp``: timestamp[ms, UTC]; the time that the device recorded; null if absent.
- ``type``: string; "userdefined", "iottlyagent" or another text; null if absent.
- ``channel``: string; the channel that the message was sent on; null if absent.
- ``payload``: string; JSON, as it arrived, byte for byte.
- ``extra``: string; JSON of the fields that the API's documents do not name; mostly null.
- ``key``: string; unique, and the same for the same message in every run.

``devices.parquet`` has one row a device: ``device_id``, ``name``, ``status``, ``agent_version``,
and the times of its oldest and newest message, ``first_seen`` and ``last_seen``. A job replaces it
when it begins, when it ends, and each minute while it follows. Name and status are those of the
last job that took all devices of the project. A part with another name than ``part`` has its own,
``devices-<part>.parquet``.

```sql
SELECT name, count(*) FROM read_parquet('telemetry.parquet/**/*.parquet')
JOIN read_parquet('telemetry.parquet.ingest/devices*.parquet') USING (device_id) GROUP BY name
```

Readers take the folder of rows as it is; polars refuses a folder with other files in it. A
query for a date or a device reads only the files of that date or device:

```sql
SELECT device, count(*)
FROM read_parquet('telemetry.parquet/**/*.parquet', hive_partitioning = true)
WHERE date >= '2026-04-01' GROUP BY device
```

The two folders belong together: move, copy and delete both. In a store that an earlier
version made, the job's own files are in the folder of rows, in ``_ingest`` and ``_rejected``.
They are read there, and the next job moves its own (`OldLayout`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import quote

import msgspec

from ....errors import ConfigurationError
from ..appendfile import reading
from ..aside import sync_directory
from ..rejected_lines import RejectedMark, marks_of
from ..state_log import FileState, read_state

VERSION: Final = 1
REJECTED_FOLDER: Final = "rejected"
DEFAULT_PART: Final = "part"
_OLD_STATE_FOLDER: Final = "_ingest"
_OLD_REJECTED_FOLDER: Final = "_rejected"
_NO_PROJECT: Final = "__HIVE_DEFAULT_PARTITION__"  # readers take it for null


class Manifest(FileState, kw_only=True):
    """The state file of a Parquet store.

    Attributes:
        flush: the number of the last flush. Files with a higher number do not count.
        rows: messages in all files that count.
        rejected: rejected rows in all files that count.
    """

    flush: int
    rows: int
    rejected: int


class PendingFlush(msgspec.Struct):
    """The last flush that was begun. It has not ended if the manifest does not count it.

    Attributes:
        flush: its number.
        files: the paths of its files: of rows within the store's folder, of rejected rows
            within the state folder (`file_path`).
        id: as in the manifest that it belongs to.
    """

    flush: int
    files: list[str]
    id: str = ""


def new_manifest() -> Manifest:
    """The state of a new store."""
    return Manifest(version=VERSION, flush=0, rows=0, rejected=0)


def read_manifest(path: str, part: str) -> Manifest | None:
    """The manifest of a part of the store at `path`; None if there is none.

    Raises:
        ConfigurationError: it is not a manifest, or has another version.
        OSError: it cannot be read.
    """
    # The old one first: a job that moves it meanwhile has then moved it to the new path.
    old = read_state(OldLayout(path).state_path(part), Manifest, version=VERSION)
    return old or read_state(state_path(path, part), Manifest, version=VERSION)


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


def file_path(path: str, name: str) -> str:
    """The path of a file that a flush has written."""
    folder, _, file = name.rpartition("/")
    if folder in (REJECTED_FOLDER, _OLD_REJECTED_FOLDER):
        return os.path.join(state_folder(path), REJECTED_FOLDER, file)
    return os.path.join(path, name)


class OldLayout:
    """Where earlier versions kept a job's own files: in the folder of rows.

    Args:
        path: of the store.
    """

    def __init__(self, path: str) -> None:
        self.state_folder = os.path.join(path, _OLD_STATE_FOLDER)
        self.rejected_folder = os.path.join(path, _OLD_REJECTED_FOLDER)
        self._path = path

    def state_path(self, part: str, suffix: str = "json") -> str:
        """The path of a part's manifest, or of another file of the job's own."""
        return os.path.join(self.state_folder, f"{part}.{suffix}")

    def move(self, part: str) -> None:
        """Move the files of a part to the new place, the manifest last.

        After a crash, the next call moves the rest.

        Raises:
            ConfigurationError: both places have a manifest.
            OSError: a file cannot be moved.
        """
        moves = [
            (
                os.path.join(self.rejected_folder, name),
                file_path(self._path, f"{REJECTED_FOLDER}/{name}"),
            )
            for name in names_in(self.rejected_folder)
            if flush_of(name, part) is not None
        ]
        moves += [
            (self.state_path(part, suffix), state_path(self._path, part, suffix))
            for suffix in ("pending", "json")
            if os.path.lexists(self.state_path(part, suffix))
        ]
        for old, new in moves:
            if os.path.lexists(new):
                raise ConfigurationError(
                    f"{old!r} and {new!r} are of the same store, and only one can be right: "
                    "delete the other"
                )
        for old, new in moves:
            os.makedirs(os.path.dirname(new), exist_ok=True)
            os.replace(old, new)
            sync_directory(new)
            sync_directory(old)
        for name in names_in(self.state_folder):
            if is_aside_of(name, part):
                os.unlink(os.path.join(self.state_folder, name))

    def remove(self) -> None:
        """Delete the folders if no other part has files in them."""
        for folder in (self.state_folder, self.rejected_folder):
            with suppress(OSError):
                os.rmdir(folder)


def names_in(folder: str) -> list[str]:
    """The sorted names in a folder; none if there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def row_folder(project_id: str | None, device_id: str, date: str) -> str:
    """The folder of a device's rows of a day, within the store's folder."""
    project = quote(project_id or _NO_PROJECT, safe="")
    return f"project={project}/device={quote(device_id, safe='')}/date={date}"


def flush_name(part: str, flush: int) -> str:
    """What the files of a flush are named, without a suffix."""
    return f"{part}-{flush:08d}"


def checked_part(part: str) -> str:
    """The name of a part, which is a part of files' names.

    Raises:
        ConfigurationError: it is not such a name.
    """
    if isinstance(part, str) and re.fullmatch(r"\w[\w.-]{0,99}", part):
        return part
    raise ConfigurationError(
        f"part must be 1 to 100 letters, digits, '.', '_' or '-', not {part!r}"
    )


def is_aside_of(file: str, part: str) -> bool:
    """Whether a file of the state folder was written aside by a flush of this part."""
    return re.fullmatch(rf"{re.escape(part)}-\d+-\d+\.(?:[0-9a-f]+\.)?aside", file) is not None


def flush_of(file: str, part: str) -> int | None:
    """The number of the flush that wrote a file of rows; None if it is another file."""
    found = re.fullmatch(rf"{re.escape(part)}-(\d+)\.(?:parquet|jsonl)", file)
    return None if found is None else int(found[1])


def is_file_of(path: str, part: str, flush: int) -> bool:
    """Whether a path within the store's folder is that of a file of this flush."""
    *folders, name = path.split("/")
    inside = folders and not {"", ".", ".."} & {*folders}
    return bool(inside) and flush_of(name, part) == flush


def rejected_marks(path: str, part: str, last: int) -> Iterator[RejectedMark]:
    """What the rejected lines of a part say, up to those of the flush `last`.

    Raises:
        ConfigurationError: a file cannot be read, or was altered.
    """
    old = OldLayout(path).rejected_folder
    new = os.path.join(state_folder(path), REJECTED_FOLDER)
    for name in sorted({*names_in(old), *names_in(new)}):
        flush = flush_of(name, part)
        if flush is not None and flush <= last:
            path = os.path.join(old, name)
            path = path if os.path.exists(path) else os.path.join(new, name)
            with reading(path), open(path, "rb") as file:
                yield from marks_of(file)
