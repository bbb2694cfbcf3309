"""Footprint: memory over a long walk, and the import of the package."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from contextlib import aclosing
from typing import Final

from .clients import Walker
from .pages import DEVICE
from .pageserver import page_server
from .table import Figure

QUICK: Final = ["--messages", "200000"]


def main(argv: list[str]) -> list[Figure]:
    """Measure both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks footprint", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages to walk over")
    parser.add_argument("--imports", type=int, default=7, help="imports of each")
    given = parser.parse_args(argv)
    return [*memory(given.messages), *importing(given.imports)]


def memory(count: int) -> list[Figure]:
    """Measure how far the peak of resident memory grows after the first tenth of a walk.

    Resident memory is the process's, from /proc/self/statm. It includes Python, the allocator
    and all extensions, in pages of 4 KiB.
    """
    with page_server(count) as base:
        warm, grown = asyncio.run(_memory(base, count))
    print(f"  {warm:.1f} MiB resident after {count // 10} messages")
    text = f"growth of resident memory, {count // 10:,} to {count:,} messages"
    return [Figure(text, grown, 1.0, unit="MiB")]


async def _memory(base: str, total: int) -> tuple[float, float]:
    ours = Walker(base)
    count, warm, most = 0, 0.0, 0.0
    try:
        async with aclosing(ours.messages.walk(DEVICE)) as found:
            async for message in found:
                message.payload  # noqa: B018
                count += 1
                if count % 1000 == 0:
                    warm, most = _grown(count <= total // 10, warm, most)
    finally:
        await ours.aclose()
    return warm, most - warm


def _grown(warming: bool, warm: float, most: float) -> tuple[float, float]:
    now = resident()
    return (max(warm, now), max(most, now)) if warming else (warm, max(most, now))


def resident() -> float:
    """This process's resident memory, in MiB."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


_IMPORT: Final = """
import sys, time
before, at = set(sys.modules), time.process_time()
import {modules}
print(time.process_time() - at, len(set(sys.modules) - before))
"""
_DEPENDENCIES: Final = "aiohttp, attrs, backoff, cattrs, msgspec"


def importing(times: int) -> list[Figure]:
    """Measure the import of all names of `iottly_async`, compared with its dependencies."""
    ratios = []
    for _ in range(times):
        ours, modules = _import(
            "iottly_async._public"
        )  # `import iottly_async` alone loads no module
        theirs, their_modules = _import(_DEPENDENCIES)
        ratios.append(ours / theirs)
    print(f"  {_DEPENDENCIES}: {theirs * 1e3:.0f} ms CPU, {their_modules} modules")
    return [
        Figure(
            "from iottly_async import * / import of its dependencies", statistics.median(ratios)
        ),
        Figure("from iottly_async import *: CPU", ours * 1e3, unit="ms"),
        Figure("from iottly_async import *: modules", modules, unit=""),
    ]


def _import(modules: str) -> tuple[float, int]:
    command = [sys.executable, "-c", _IMPORT.format(modules=modules)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, count = printed.split()
    return float(seconds), int(count)
