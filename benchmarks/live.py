"""Live: how late a message comes by poll, webhook and stream, and what drops and quotas do.

Parts: `latency` (append to consumer), `drops` (a stream that is cut again and again while
messages are appended), `settle` (what settle and lookback cost and buy), `policy` (many
devices under a quota, against a plain round robin and a floor, in virtual time), `fleet` (the
same on a real server), `webhooks` (a second through the FastAPI router, against a route by
hand; also a benchmark of its own). The emulator runs in the same process; where a part is
scaled, a second of it stands for so many seconds, and ages are told in those.
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
    """Measure the parts that are asked for."""
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
