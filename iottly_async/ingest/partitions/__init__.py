"""A fleet's history in parts, for as many machines as there are.

::

    parts = await plan([PartitionSource(project="59c1…", key_env="KEY_OF_ONE")], start=…, end=…)
    manifest = await run_partition(parts[0], "telemetry")        # anywhere, any number of times

A partition is a batch of windows (a device, and a stretch of time) of one key. It is plain
data: picklable, JSON-able, and it names the environment variable that holds the key, never
the key. Its end was pinned when the plan was made, so that it is the same work wherever and
whenever it is done: run twice, it gives the same files, and the same digest in its manifest.
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
