"""Startup: the CPU time of `iottly --version`, `--help` and the help of a command.

Each contender is a process of its own, and its CPU time counts from the start of Python to its
end. `--version` and `--help` are compared with an empty program. The help of a command is compared
with a program that imports cyclopts and rich and does nothing else, which is the least that a help
made with them can take: 0.12 s on the machine on which this was written, at rest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from .pairing import Race
from .table import Figure, Row

QUICK: Final = ["--turns", "5"]

_PROGRAMS: Final = {
    "nothing": ["-c", "pass"],
    "--version": ["-m", "iottly_async", "--version"],
    "cyclopts and rich": ["-c", "import cyclopts, rich.console, rich.table"],
    "--help": ["-m", "iottly_async", "--help"],
    "ping --help": ["-m", "iottly_async", "ping", "--help"],
}

# An installed package is compiled, and so is ours after the first turn, which does not count.
_ENVIRONMENT: Final = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def main(argv: list[str]) -> Iterator[Row]:
    """Run each program in turns, and compare their CPU times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup", description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns, each of one paired ratio")
    turns = parser.parse_args(argv).turns
    race = Race(_cpu_of_children)
    asyncio.run(race.run({name: _run(words) for name, words in _PROGRAMS.items()}, turns))
    for name, bound in (("--version", 0.15), ("--help", 0.15), ("ping --help", None)):
        text = f"iottly {name}: CPU time, at best"
        yield Figure(text, race.best(name, "cpu") / 1e6, bound, unit="s")
    yield race.figure("iottly --version / python -c pass", "--version", "nothing")
    yield race.figure("iottly --help / python -c pass", "--help", "nothing")
    text = "iottly ping --help / import cyclopts, rich"
    yield race.figure(text, "ping --help", "cyclopts and rich")


def _run(words: list[str]) -> Callable[[], Awaitable[int]]:
    async def work() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.DEVNULL, env=_ENVIRONMENT
        )
        return 1 if await process.wait() == 0 else 0

    return work


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
