"""Coverage: what a store has of each device, in each interval of time, and what is missing.

```python
coverage = await survey("telemetry.duckdb", bins=120)
for device in coverage.devices:
    print(device.device_id, f"{device.complete:.1%}", device.missing)
```

The cursors say what is complete. The rows say what is empty. The store is not changed. A
store in files can also be read while a job writes to it.
"""

from .model import Cell, Coverage, DeviceCoverage, State
from .page import page_of
from .survey import survey

__all__ = ["Cell", "Coverage", "DeviceCoverage", "State", "page_of", "survey"]
