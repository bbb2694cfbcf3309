"""Live: the latency of a message by poll, webhook and stream, and the effect of drops and quotas.

Parts: `latency` (append to consumer), `drops` (a stream that is dropped repeatedly while
messages are appended), `settle` (latency and lost rows by settle and lookback), `policy` (many
devices under a quota, compared with a round robin and a lower bound, in virtual time), `fleet`
(the same on a real server), `webhooks` (webhooks a second through the FastAPI router, compared
with a route written by hand; also a benchmark of its own). The emulator runs in the same
process. If a part is scaled, one of its seconds stands for several, and ages are given in
scaled seconds.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from .live_drops import drops
from .live_fleet import fleet
from .live_latency import latency
from .live_policy import policy
from .live_settle import settle
from .table import Figure
from .webhooks import webhooks

QUICK: Final = ["--quick"]

PARTS: Final[Mapping[str, Callable[[bool], Awaitable[list[Figure]]]]] = {
    "latency": latency,
    "drops": drops,
    "settle": settle,
    "policy": policy,
    "fleet": fleet,
    "webhooks": webhooks,
}


def main(argv: list[str]) -> list[Figure]:
    """Measure the parts that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks live", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only these parts")
    parser.add_argument("--quick", action="store_true", help="fewer messages, drops and devices")
    given = parser.parse_args(argv)
    figures: list[Figure] = []
    for name in given.part or PARTS:
        print(f"-- {name}", flush=True)
        figures += asyncio.run(_measured(PARTS[name], given.quick))
    return figures


async def _measured(part: Callable[[bool], Awaitable[list[Figure]]], quick: bool) -> list[Figure]:
    return await part(quick)
