"""Where the files of a folder of partitions are: the rows in the folder, all else beside it.

```text
telemetry/                      the rows, and nothing else, so that readers take the folder as it is
  0f3a….parquet
telemetry.ingest/
  plan.json
  manifests/0f3a….json
  rejected/0f3a….rejected.jsonl
  unfinished/                   files that are being written
```

Both folders must be of one file system, as files are renamed from one to the other, and all
machines must have both. So the folder cannot be the place where a file system is mounted.

An earlier version had the plan, the manifests and the rejected rows among the rows, and its rows
had no column ``project_id``. Such a folder is refused.
"""

from __future__ import annotations

import os
from typing import Final

from ...errors import ConfigurationError
from ..stores.names import checked_path, real_path

REJECTED: Final = "rejected.jsonl"
"""What the name of a file of rejected rows ends in, after the partition's id and a dot."""

_EARLIER: Final = ("_plan.json", "_manifests", "_unfinished")


def folder_of(to: str | os.PathLike[str]) -> str:
    """The absolute path, without links, of the folder that a caller names.

    Raises:
        ConfigurationError: it is no path, a file system is mounted there, or an earlier version
            has written it.
    """
    folder = real_path(os.path.abspath(checked_path(to, name="to")))
    if os.path.ismount(folder):
        raise ConfigurationError(
            f"a file system is mounted at {folder!r}, and the plan belongs into a folder beside "
            f"the rows: name a folder within it, such as {os.path.join(folder, 'telemetry')!r}"
        )
    check_layout(folder)
    return folder


def check_layout(folder: str) -> None:
    """Check that no earlier version has written the folder.

    Raises:
        ConfigurationError: one has; the text says how to go on.
    """
    if is_earlier(folder):
        raise ConfigurationError(
            f"folder {folder!r} was written by an earlier version of this library, whose rows have "
            "other columns and whose plan is among the rows: name another folder, and fetch the "
            "rows again; the old folder stays as it is"
        )


def is_earlier(folder: str) -> bool:
    """Whether an earlier version has written the folder."""
    return any(os.path.lexists(os.path.join(folder, name)) for name in _EARLIER)


def state_folder(folder: str) -> str:
    """The folder beside that of the rows."""
    return f"{folder}.ingest"


def plan_path(folder: str) -> str:
    """The path of the plan."""
    return os.path.join(state_folder(folder), "plan.json")


def manifests_folder(folder: str) -> str:
    """The folder of the manifests."""
    return os.path.join(state_folder(folder), "manifests")


def manifest_path(folder: str, partition_id: str) -> str:
    """The path of a partition's manifest."""
    return os.path.join(manifests_folder(folder), f"{partition_id}.json")


def unfinished_folder(folder: str) -> str:
    """The folder of the files that are being written."""
    return os.path.join(state_folder(folder), "unfinished")


def file_path(folder: str, name: str) -> str:
    """The path of a partition's file of rows or of rejected rows."""
    if name.endswith(f".{REJECTED}"):
        return os.path.join(state_folder(folder), "rejected", name)
    return os.path.join(folder, name)
