"""Kills: the job of each store is killed 200 times and restarted; then the store is compared.

A job is killed at a request, or at a step of its store: a system call on a file, a
statement, or before or after a chunk that goes to the database's server. Meanwhile,
connections are lost and requests refused, and a second job is refused. In the end the store is
compared with the emulator, row for row. The same trial, with fewer kills, is part of the tests.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.kill_trial import STORES, fleet, trial
from tests.support.killable_jobs import nursery
from tests.support.postgres_server import postgres_server
from tests.support.stored_rows import differing, keys_of

from .table import Figure


def main(argv: list[str]) -> list[Figure]:
    """Kill the jobs of the chosen stores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills a store")
    parser.add_argument("--store", choices=STORES, action="append", help="only these stores")
    given = parser.parse_args(argv)
    stores = given.store or STORES
    figures = []
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server()) if "postgresql" in stores else None
        emulator = stack.enter_context(fleet(given.kills))
        jobs = stack.enter_context(nursery())
        for store in stores:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with trial(store, folder, emulator=emulator, jobs=jobs, postgres=postgres) as one:
                begun = time.monotonic()
                one.kill(given.kills)
                one.complete()
                lost, surplus = differing(one.place, emulator)
                keys = keys_of(one.place)
            duplicates = len(keys) - len(set(keys))
            print(
                f"  {store:<11} {one.killed['request']} kills at requests, "
                f"{one.killed['step']} at steps, {one.refused} second jobs refused, "
                f"{len(keys):,} rows, "
                f"{time.monotonic() - begun:.0f} s",
                flush=True,
            )
            wrong = lost + surplus + duplicates
            figures.append(Figure(f"{store}: rows lost, repeated or wrong", wrong, 0, unit=""))
    return figures
