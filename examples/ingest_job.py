"""A job that stores a project's messages in a DuckDB file, and continues where it stopped.

    export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
    python examples/ingest_job.py telemetry.duckdb --start 2026-01-01

Run it again, from a timer or after a crash: it fetches only new messages, and stores none
twice. SIGINT and SIGTERM stop it soon, and everything that was fetched is stored. Exit codes:
0 if all devices are complete, 1 if some failed (the next run tries them again), 130 if it was
stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from datetime import UTC, datetime

from iottly_async import IottlySession
from iottly_async.ingest import IngestJob, IngestReport, Progress


def show(progress: Progress) -> None:
    """Print the progress on one line of a terminal."""
    if sys.stderr.isatty():
        share = "" if progress.share is None else f"{progress.share:6.1%} "
        line = f"{share}{progress.rows:,} messages, {progress.rows_per_second:,.0f} a second"
        print(f"\r{line:<60}", end="", file=sys.stderr, flush=True)


def print_report(report: IngestReport) -> int:
    """Print the report of a run; return the exit code."""
    print(f"{report.rows:,} new messages in {report.seconds:.1f} s, {report.total:,} in the store")
    failed = [device for device in report.devices if device.error is not None]
    for device in failed:
        print(f"{device.device_id} failed: {device.error}", file=sys.stderr)
    return 130 if report.interrupted else 1 if failed else 0


async def main() -> int:
    """Run the job; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", help="a .duckdb or .jsonl file")
    parser.add_argument("--project", default=os.environ.get("IOTTLY_PROJECT"))
    parser.add_argument("--start", type=day, help="first day, UTC (default: the oldest message)")
    parser.add_argument("--end", type=day, help="day to stop before, UTC (default: now)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests at once (default: 8)")
    given = parser.parse_args()
    if not given.project:
        parser.error("--project or IOTTLY_PROJECT is needed")

    async with IottlySession() as session:
        job = IngestJob(
            session,
            project=given.project,
            start=given.start,
            end=given.end,
            store=given.store,
            concurrency=given.concurrency,
        )
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, job.stop)
        return print_report(await job.run(progress=show))


def day(text: str) -> datetime:
    """The midnight in UTC at which a day begins."""
    return datetime.combine(datetime.fromisoformat(text), datetime.min.time(), UTC)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
