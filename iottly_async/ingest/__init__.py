"""Ingestion: stores the messages of a fleet, through kills and restarts.

```python
job = IngestJob(session, project="59c1…", store="telemetry.duckdb")
report = await job.run(progress=print)
```

A store keeps the rows, and with them the cursors that say how far the job is. If a run is
killed, running the same job again resumes it. No row is then missing or stored twice. An
object with the methods of `Store` is a store, too.

The files, in the order in which a run uses them: `job` puts the others together; `run_plan`
and `plan` decide what to fetch; `fetch` walks the devices; `writer` and `validate` group the
messages; ``stores/`` has one folder for each kind of store; `progress`, `totals`, `bottleneck`
and `report` say how the run goes and went. ``partitions/`` divides a job among machines, and
``coverage/`` shows what a store holds.
"""

from .bottleneck import Bottleneck, TimeShares
from .job import IngestJob
from .payload_columns import PayloadColumn
from .plan import IngestPlan, Query
from .progress import Progress
from .report import DeviceOutcome, IngestReport, Outcome
from .stores import Group, ListedDevice, Rejected, Store, StoredState, open_store

__all__ = [
    "Bottleneck",
    "DeviceOutcome",
    "Group",
    "IngestJob",
    "IngestPlan",
    "IngestReport",
    "ListedDevice",
    "Outcome",
    "PayloadColumn",
    "Progress",
    "Query",
    "Rejected",
    "Store",
    "StoredState",
    "TimeShares",
    "open_store",
]
