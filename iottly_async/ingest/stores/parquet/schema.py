"""The layout of a Parquet store; a user's queries may rely on it.

The store is a folder:

```text
telemetry.parquet/
  project=59c1…/device=3781…/date=2026-04-05/part-00000017.parquet
  _rejected/part-00000017.jsonl         what cannot be such a row, with the reason
  _ingest/part.json                     the job's state file: `Manifest`
  _ingest/part.pending                  the files of the last flush: `PendingFlush`
  _ingest/part.lock                     who writes this part now
```

``date`` is the day of ``timestamp`` in UTC. Ids are percent-encoded as in a URL, which
readers of such folders undo. The lines of ``_rejected`` are those of a JSON lines store's
rejected file. Each Parquet file has these columns:

- ``device_id``: string.
- ``timestamp``: timestamp[ms, UTC]; the server's time of arrival.
- ``device_timestamp``: timestamp[ms, UTC]; the time that the device recorded; null if absent.
- ``type``: string; "userdefined", "iottlyagent" or another text; null if absent.
- ``channel``: string; the channel that the message was sent on; null if absent.
- ``payload``: string; JSON, as it arrived, byte for byte.
- ``extra``: string; JSON of the fields that the API's documents do not name; mostly null.
- ``key``: string; unique, and the same for the same message in every run.

Readers take the folder as it is, and ignore names that begin with ``_``. A query for a date
or a device reads only the files of that date or device:

```sql
SELECT device, count(*)
FROM read_parquet('telemetry.parquet/**/*.parquet', hive_partitioning = true)
WHERE date >= '2026-04-01' GROUP BY device
```
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import msgspec

from ....errors import ConfigurationError
from ..appendfile import reading
from ..rejected_lines import RejectedMark, marks_of
from ..state_log import FileState, read_state

VERSION: Final = 1
REJECTED_FOLDER: Final = "_rejected"
_STATE_FOLDER: Final = "_ingest"
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
        files: the paths of its files within the store's folder.
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
    return read_state(state_path(path, part), Manifest, version=VERSION)


def state_folder(path: str) -> str:
    """The folder of the job's own files."""
    return os.path.join(path, _STATE_FOLDER)


def state_path(path: str, part: str, suffix: str = "json") -> str:
    """The path of a part's manifest, or of another file of the job's own."""
    return os.path.join(state_folder(path), f"{part}.{suffix}")


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
    folder = os.path.join(path, REJECTED_FOLDER)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        flush = flush_of(name, part)
        if flush is not None and flush <= last:
            path = os.path.join(folder, name)
            with reading(path), open(path, "rb") as file:
                yield from marks_of(file)
