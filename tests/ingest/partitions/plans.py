"""Plans for the emulated fleet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from iottly_async.emulator import Emulator
from iottly_async.ingest.partitions import Partition, PartitionSource, plan
from iottly_async.ingest.partitions.layout import plan_path

START, END = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def source(emulator: Emulator, key: str = "KEY_ONE", **more: Any) -> PartitionSource:
    """The emulator's project, with one of its two keys."""
    return PartitionSource(project=emulator.project_id, key_env=key, **more)


async def planned(emulator: Emulator, **more: Any) -> list[Partition]:
    """A plan for all messages of the emulator, with six windows of a week a partition."""
    options = {"start": START, "end": END, "window": WEEK, "windows_per_partition": 6, **more}
    return await plan([source(emulator)], **options)


def plan_file(folder: Path) -> Path:
    """The file of a folder's plan."""
    return Path(plan_path(str(folder)))


def written(path: Path, text: str) -> Path:
    """A file with this text; its folder is made."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8", "surrogatepass")
    return path
