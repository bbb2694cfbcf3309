"""Partitions: a fleet's history, divided into parts that any number of machines can fetch.

```python
sources = [PartitionSource(project="59c1…", key_env="KEY_ONE")]
partitions = await plan(sources, "telemetry", start=datetime(2026, 1, 1, tzinfo=UTC))
manifest = await run_partition(partitions[0], "telemetry")
```

A partition is a batch of windows of one device. A window is a device and an interval of time. A
partition is plain data, for pickle or JSON. It names the environment variable that holds the
key, and never holds the key itself. Its end is pinned when the plan is made. So it is the same
work wherever and whenever it is run: a second run makes the same files, and the same digest in
the manifest.

The plan is kept beside the folder, so the same program run again continues it (`folder_plan`).
Plans and partitions are trusted input: they say which environment variable is sent to which host.
"""

from .files import Format
from .manifest import PartitionManifest, digest_of
from .partition import Partition, PartitionInterval, PartitionSource
from .planning import plan
from .running import run_partition

__all__ = [
    "Format",
    "Partition",
    "PartitionInterval",
    "PartitionManifest",
    "PartitionSource",
    "digest_of",
    "plan",
    "run_partition",
]
