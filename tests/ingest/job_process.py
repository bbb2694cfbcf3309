"""A job in a process of its own, to be killed: PROJECT, STORE, and the size a file may have.

It writes small groups, so that there is much to interrupt.
"""

from __future__ import annotations

import asyncio
import sys

from iottly_async import IottlySession
from iottly_async.errors import StoreError
from iottly_async.ingest import IngestJob


async def main(project: str, store: str) -> int:
    """Exit code 0 where all devices are done, 1 where the store failed."""
    async with IottlySession() as session:
        job = IngestJob(session, project=project, store=store, concurrency=4, flush_every=0.02)
        try:
            report = await job.run()
        except StoreError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0 if report.done == len(report.devices) else 4


if __name__ == "__main__":
    project, store, *limit = sys.argv[1:]
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]), int(limit[0])))
    sys.exit(asyncio.run(main(project, store)))
