"""Ingestion: the messages of a fleet into a store, through kills and restarts.

::

    job = IngestJob(session, project="59c1…", store="telemetry.duckdb")
    report = await job.run(progress=print)          # resumes by itself

A store keeps the rows and, with them, how far the job is: a run that was killed is gone
on with by running the same job again, and no row is there twice or missing. A store of
one's own is any object with the methods of `Store`.
"""

from .bottleneck import Bottleneck, TimeShares
from .job import IngestJob
from .plan import IngestPlan, Query
from .progress import Progress
from .report import DeviceOutcome, IngestReport, Outcome
from .stores import Group, Rejected, Store, StoredState, open_store

__all__ = [
    "Bottleneck",
    "DeviceOutcome",
    "Group",
    "IngestJob",
    "IngestPlan",
    "IngestReport",
    "Outcome",
    "Progress",
    "Query",
    "Rejected",
    "Store",
    "StoredState",
    "TimeShares",
    "open_store",
]
