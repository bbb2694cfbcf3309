"""Patience: outages, refusals without headers, and calls that somebody waits for.

Part "outages" takes the service away for 1, 10 and 60 s from walks, jobs and followers, in
virtual time; "restarts" kills its process in real time. Part "refusals" has limits without
headers in virtual time, and "nginx" a real `limit_req`. Two other clients stand beside: back-off
by `backoff.expo`, as written by hand, and botocore's adaptive rule.

"Least" is the least time that the limit asks for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .patience_limits import bare_refusals, nginx_refusals
from .patience_outages import interactive, outages, peers, restarts
from .table import Row, run_parts

QUICK: Final = ["--part", "refusals", "--part", "interactive"]

PARTS: Final[Mapping[str, Callable[[], Iterator[Row]]]] = {
    "outages": outages,
    "peers": peers,
    "restarts": restarts,
    "interactive": interactive,
    "refusals": bare_refusals,
    "nginx": nginx_refusals,
}


def main(argv: list[str]) -> Iterator[Row]:
    """Measure the parts that the arguments name; all take some ten minutes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks patience", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only these parts")
    given = parser.parse_args(argv)
    yield from run_parts({part: PARTS[part] for part in given.part or PARTS})
