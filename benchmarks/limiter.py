"""The limiter and others: share of a quota used, refusals, time over the ideal, and CPU.

Part "virtual" has the quotas that exist, with windows of 60 s, in virtual time. The parts with
real servers have windows of two seconds. There, each scenario is one server process. The
clients use it one after another, each a process of its own that begins with an unused quota
at the same part of the window. 950 requests at 200 a window end within a window, so that no
client pays or saves a whole window by a hair.

"Ideal" is the least time: only the waiting that the quota itself asks for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from .limiter_clients import CLIENTS, OTHERS
from .limiter_figures import ROWS, Result
from .limiter_micro import micro
from .limiter_quota import ideal
from .limiter_server import quota_server
from .limiter_virtual import virtual
from .table import Figure, Row, run_parts

QUICK: Final = ["--part", "micro", "--part", "virtual", "--rounds", "9"]

LIMIT, WINDOW, REQUESTS, WORKERS = 200, 2.0, 950, 50
PHASE: Final = 0.35
"""The part of a window that is over when clients begin."""

SCENARIOS: Final[Mapping[str, tuple[str, ...]]] = {
    "fixed": (),
    "5 s ahead": ("--skew", "5"),
    "5 s behind": ("--skew", "-5"),
    "other 30 %": ("--other", "0.3"),
    "bucket": ("--algorithm", "bucket"),
    "sliding": ("--algorithm", "sliding"),
}


def run(
    client: str,
    base: str,
    server: Sequence[str],
    *,
    requests: int = REQUESTS,
    window: float = WINDOW,
    processes: int = 1,
    redis: str | None = None,
) -> Result:
    """Let one kind of client make its requests."""
    options = dict(zip(server[::2], server[1::2], strict=True))
    skew = float(options.get("--skew", "0"))
    algorithm = options.get("--algorithm", "fixed")
    command = [sys.executable, "-m", "benchmarks.limiter_clients", client, base]
    command += ["--requests", str(requests // processes), "--workers", str(WORKERS // processes)]
    command += ["--limit", str(LIMIT), "--window", str(window), "--skew", str(skew)]
    command += ["--processes", str(processes), "--phase", str(PHASE)]
    if redis is not None:
        command += ["--redis", redis]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    told = [json.loads(line) for line in printed.splitlines()]
    with urllib.request.urlopen(base + "/_counts") as answer:
        counts: dict[str, Any] = json.load(answer)
    began = min(one["began"] for one in told)
    ended = max(one["began"] + one["wall"] for one in told)
    least = ideal(algorithm, LIMIT, window, requests, began + skew)
    wish = sum(counts["others"].values())
    return Result(
        wall=(ended - began) / least,
        refusals=len(counts["refused"]) / requests,
        share=_share(counts["admitted"], window) if algorithm == "fixed" else None,
        others=counts["others"]["admitted"] / wish if wish else None,
        calls=sum(one["calls"] for one in told) / requests,
        seconds=ended - began,
        admitted=[at - began - skew for at in counts["admitted"]],
        refused=[at - began - skew for at in counts["refused"]],
    )


def _share(admitted: Sequence[float], window: float) -> float | None:
    windows = [int(at // window) for at in admitted]
    whole = range(windows[0] + 1, windows[-1])
    if not whole:
        return None
    return sum(number in whole for number in windows) / (LIMIT * len(whole))


def scenarios(given: argparse.Namespace) -> list[Figure]:
    """Every scenario and every client, or those that the arguments name."""
    results: dict[tuple[str, str], Result] = {}
    with ExitStack() as stack:
        redis = _redis(stack)
        for name in given.scenario or SCENARIOS:
            server = SCENARIOS[name]
            with quota_server("--limit", str(LIMIT), "--window", str(WINDOW), *server) as base:
                for client in given.client or CLIENTS:
                    if client == "redis":
                        _forget(redis)
                    results[name, client] = one = run(client, base, server, redis=redis)
                    _print(name, client, one)
    return [row.figure(results) for row in ROWS if results.keys() >= row.needs]


def long_window(_: argparse.Namespace) -> list[Figure]:
    """A window of 20 seconds, in which rounding and round trips weigh less."""
    window, requests = 20.0, 450
    with quota_server("--limit", str(LIMIT), "--window", str(window)) as base:
        ours = run("burst", base, (), requests=requests, window=window)
        _print("fixed, 20 s", "burst", ours)
        theirs = run("backoff", base, (), requests=requests, window=window)
        _print("fixed, 20 s", "backoff", theirs)
    return [
        Figure("fixed window of 20 s: wall-clock / ideal", ours.wall, 1.02),
        Figure("fixed window of 20 s: refusals a request", ours.refusals, 0, unit=""),
        Figure("20 s: wall-clock / back-off with full jitter", ours.seconds / theirs.seconds),
    ]


def processes(given: argparse.Namespace) -> list[Figure]:
    """Several processes on one key: through Redis, by headers alone, and with other limiters."""
    return [figure for count in given.processes or (3, 8) for figure in _compete(count, given)]


def _compete(count: int, given: argparse.Namespace) -> list[Figure]:
    results = {}
    requests = REQUESTS // count * count
    with ExitStack() as stack:
        redis = _redis(stack)
        base = stack.enter_context(quota_server("--limit", str(LIMIT), "--window", str(WINDOW)))
        for client in given.client or CLIENTS:
            if client == "redis":
                _forget(redis)
            results[client] = one = run(
                client, base, (), requests=requests, processes=count, redis=redis
            )
            _print(f"{count} processes", client, one)
    figures = []
    if "redis" in results:
        shared, name = results["redis"], f"{count} processes, Redis"
        figures += [
            Figure(f"{name}: refusals a request", shared.refusals, 0, unit=""),
            Figure(f"{name}: wall-clock / ideal", shared.wall, 1.2),
            Figure(f"{name}: calls to Redis a permit", shared.calls, 1.0, unit=""),
        ]
    if "burst" in results:
        name = f"{count} processes, headers alone: refusals a request"
        figures.append(Figure(name, results["burst"].refusals, 0.05, unit=""))
    return figures


def _redis(stack: ExitStack) -> str:
    from tests.support.redis_server import running_redis

    return stack.enter_context(running_redis()).url


def _forget(redis: str) -> None:
    from redis import Redis

    with Redis.from_url(redis) as client:
        client.flushdb()


def _print(scenario: str, client: str, one: Result) -> None:
    share = "     " if one.share is None else f"{one.share:5.3f}"
    others = "" if one.others is None else f"  other client {one.others:.2f}"
    calls = f"  Redis {one.calls:.2f}" if one.calls else ""
    mark = " " if client in OTHERS else "*"
    print(
        f"{scenario:<12} {mark}{client:<15} share {share}  refusals {one.refusals:6.3f}"
        f"  wall/ideal {one.wall:6.3f}{others}{calls}",
        flush=True,
    )


def picture(given: argparse.Namespace) -> list[Figure]:
    """Draw requests a second against the quota, ours and the vendor's advice, as a PNG."""
    from .limiter_picture import draw

    window = 6.0
    results = {}
    with quota_server("--limit", str(LIMIT), "--window", str(window)) as base:
        for client in ("burst", "spread", "backoff", "aiolimiter"):
            results[client] = run(client, base, (), requests=REQUESTS, window=window)
            _print("picture", client, results[client])
    draw(Path(given.png), results, limit=LIMIT, window=window, first_end=(1 - PHASE) * window)
    print(f"drawn: {given.png}")
    return []


PARTS: Final[Mapping[str, Callable[[argparse.Namespace], list[Figure]]]] = {
    "micro": lambda given: micro(given.rounds),
    "virtual": virtual,
    "scenarios": scenarios,
    "processes": processes,
    "long": long_window,
    "picture": picture,
}


def main(argv: list[str]) -> Iterator[Row]:
    """Measure the parts that the arguments name; all take some twenty minutes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks limiter", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only these parts")
    parser.add_argument("--client", choices=CLIENTS, action="append", help="only these clients")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only these")
    parser.add_argument(
        "--processes", type=int, action="append", help="so many on one key; 3, then 8"
    )
    parser.add_argument("--rounds", type=int, default=31, help="of the micro figures")
    parser.add_argument("--png", default="docs/limiter.png", help="where the picture goes")
    given = parser.parse_args(argv)
    yield from run_parts({part: partial(PARTS[part], given) for part in given.part or PARTS})
