"""Coverage: of which device and which time a store has all messages, and of which not yet.

::

    coverage = await survey("telemetry.duckdb", bins=120)
    for device in coverage.devices:
        print(device.device_id, f"{device.complete:.1%}", device.missing)

What is complete is told by the cursors, and what is empty by the rows. A store is looked
at without being changed; one in files also while a job writes into it.
"""

from .model import Cell, Coverage, DeviceCoverage, State
from .page import page_of
from .survey import survey

__all__ = ["Cell", "Coverage", "DeviceCoverage", "State", "page_of", "survey"]
