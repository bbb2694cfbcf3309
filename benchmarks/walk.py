"""The walk over a year of messages: requests, time, skipped rows and memory, against other ways.

All parts but the last run in virtual time, over a stand-in for the endpoint. A latency of 50 ms
costs no real time, and CPU time is not measured. The last part walks over real sockets, in real
time (`walk_sockets`).
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from iottly_async.walk import WalkQuery, WalkSettings, batches, batches_many
from iottly_async.walk.strategy.lookahead import GAP
from tests.support.virtual_time import VirtualClock, run_virtual

from .table import Figure
from .walk_data import EPOCH, YEAR, Times, bursty, even, fleet, tied
from .walk_naive import STRATEGIES
from .walk_picture import draw
from .walk_server import MEAN, PAGE, Result, StandIn
from .walk_sockets import confirm

QUICK: Final = ["--rows", "100000", "--devices", "300", "--sockets", "0"]

DEVICE: Final = "device"
STREAMS: Final[dict[str, Callable[[int], Times]]] = {"even": even, "tied": tied, "bursty": bursty}
SETTINGS: Final = WalkSettings()
PER_SECOND: Final = 10.0
"""The quota of 600 requests a minute."""

ENOUGH: Final = 9_000
"""Pages from which on the time to start no longer matters."""


def main(argv: list[str]) -> list[Figure]:
    """Run all parts, print them, and draw the picture if `--picture` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks walk", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="messages in the year")
    parser.add_argument("--devices", type=int, default=2000, help="devices of the fleet")
    parser.add_argument(
        "--sockets", type=int, default=100_000, help="messages of the real-time part; 0: none"
    )
    parser.add_argument("--picture", type=Path, help="draw the comparison, as a PNG")
    given = parser.parse_args(argv)
    figures: list[Figure] = []
    results: list[Result] = []
    heading()
    for name, make in STREAMS.items():
        times = make(given.rows)
        ours = [ours_over(name, times, *form) for form in FORMS]
        results += ours
        if name != "tied":
            results += others_over(name, times)
        figures += figures_of(name, ours)
    figures += slow_consumer(even(min(given.rows, 200_000)))
    figures += fleet_figures(fleet(given.devices, given.rows))
    figures += quota(even(min(given.rows, 100_000)))
    if given.sockets:
        figures += confirm(given.sockets)
    if given.picture is not None:
        draw(results, given.picture)
    return figures


# --- one walk ------------------------------------------------------------------------------

FORMS: Final = [(1, True), (8, False), (32, False), (8, True), (32, True)]
WAYS: Final = {True: "in order", False: "any order"}


def heading() -> None:
    """Print the head of the table of results."""
    print(
        f"{'way':<22} {'stream':<8} {'at once':>7} {'requests':>9} {'x ideal':>8} {'seconds':>9} "
        f"{'x ideal':>8} {'skipped rows':>14} {'empty':>6} {'held':>6} {'wrong':>5}"
    )


def measured(
    way: str,
    stream: str,
    concurrency: int,
    server: StandIn,
    walk: Callable[[], Awaitable[None]],
    *,
    ordered: bool = False,
) -> Result:
    """Run a walk in virtual time, and print its row."""

    async def run() -> float:
        before = asyncio.get_running_loop().time()
        await walk()
        return asyncio.get_running_loop().time() - before

    seconds = run_virtual(run)
    wrong = server.lost + server.repeated + (server.disordered if ordered else 0)
    result = Result(
        way,
        stream,
        concurrency,
        server.requests,
        server.ideal,
        seconds,
        server.skipped,
        server.empty,
        server.most_held,
        wrong,
    )
    print(
        f"{way:<22} {stream:<8} {concurrency:>7} {result.requests:>9,} {result.over:>8.3f} "
        f"{seconds:>9,.1f} {result.slower:>8.2f} {result.skipped:>14,} {result.empty:>6,} "
        f"{result.held:>6,} {wrong:>5}",
        flush=True,
    )
    return result


def ours_over(
    stream: str,
    times: Times,
    concurrency: int,
    ordered: bool,
    *,
    pause: float = 0.0,
    per_second: float | None = None,
) -> Result:
    """Measure one of our walks; its consumer takes `pause` seconds a batch."""
    server = StandIn({DEVICE: times}, per_second=per_second)
    query = WalkQuery(project_id="p", device_id=DEVICE, start=EPOCH, end=EPOCH + YEAR)

    async def walk() -> None:
        async for batch in batches(
            server.fetch,
            query,
            settings=SETTINGS,
            concurrency=concurrency,
            ordered=ordered,
            clock=VirtualClock(),
        ):
            server.note_delivered(DEVICE, [int(message.payload_json) for message in batch.messages])
            if pause:
                await asyncio.sleep(pause)

    way = "walk" if concurrency == 1 else f"walk, {WAYS[ordered]}"
    return measured(way, stream, concurrency, server, walk, ordered=ordered)


def others_over(stream: str, times: Times) -> list[Result]:
    """Measure the simple walks, with 32 requests at once."""
    results = []
    for way, strategy in STRATEGIES.items():
        server = StandIn({DEVICE: times})
        results.append(measured(way, stream, 32, server, lambda: strategy(server, DEVICE, 32)))  # noqa: B023
    return results


# --- figures -------------------------------------------------------------------------------


def figures_of(stream: str, results: list[Result]) -> list[Figure]:
    """The figures of our walks over one stream; a bound on speed only for long streams."""
    alone, *many = results
    most = {"even": 1.02, "tied": 1.03}.get(stream)
    over = (alone.requests - 1) / alone.ideal
    figures = [Figure(f"walk {stream}: requests less 1 / ideal", over, most)]
    for result in many:
        in_order = result.way == "walk, in order"
        name = f"walk {stream}, {WAYS[in_order]}, {result.concurrency} at once"
        over = (result.requests - 8) / result.ideal
        most = 1.06 if in_order else 1.05
        least = {8: 6.5, 32: 22.0 if in_order else 25.0}[result.concurrency]
        bound = least if result.ideal >= ENOUGH else None
        figures += [
            Figure(f"{name}: requests less 8 / ideal", over, most),
            Figure(f"{name}: times as fast as one", alone.seconds / result.seconds, bound, ">="),
        ]
    # One millisecond of the bursty stream holds 5,000 messages. It is read by page numbers,
    # once, and three requests test whether page numbers count right.
    allowed = PAGE * sum(range(1, 51)) + 3 * 5000 if stream == "bursty" else 0
    skipped = max(result.skipped for result in results if result.way != "walk, in order")
    wrong = sum(result.wrong for result in results)
    return [
        *figures,
        Figure(f"walk {stream}, one at once or any order: skipped", skipped, allowed, unit="rows"),
        Figure(f"walk {stream}: lost, repeated, disordered", wrong, 0, unit="rows"),
    ]


def slow_consumer(times: Times) -> list[Figure]:
    """Measure how many messages are held for a consumer that is slower than the walk."""
    figures = []
    for concurrency, ordered, pages in [
        (1, True, 2),
        (32, False, 2 * 32),
        (32, True, (GAP + 3) * 32),
    ]:
        result = ours_over("slow use", times, concurrency, ordered, pause=1.2 * MEAN / concurrency)
        name = f"walk, slow consumer, {WAYS[ordered]}, {concurrency} at once: pages held"
        figures.append(Figure(name, result.held / PAGE, pages, unit="pages"))
    return figures


def fleet_figures(streams: dict[str, Times]) -> list[Figure]:
    """Measure one walk over many devices of very different sizes."""
    figures = []
    queries = [
        WalkQuery(project_id="p", device_id=device, start=EPOCH, end=EPOCH + YEAR)
        for device in streams
    ]
    for concurrency in (8, 32):
        server = StandIn(streams)

        async def walk(server: StandIn = server, concurrency: int = concurrency) -> None:
            async for batch in batches_many(
                server.fetch,
                queries,
                settings=SETTINGS,
                concurrency=concurrency,
                clock=VirtualClock(),
            ):
                rows = [int(message.payload_json) for message in batch.messages]
                server.note_delivered(batch.cursor.device_id, rows)

        result = measured(f"walk, {len(streams)} devices", "even", concurrency, server, walk)
        name = f"walk, {len(streams)} devices, {concurrency} at once"
        figures += [
            Figure(f"{name}: requests less 8 / ideal", (result.requests - 8) / result.ideal, 1.05),
            Figure(
                f"{name}: time / ideal", result.slower, 1.06 if result.ideal >= ENOUGH else None
            ),
        ]
    return figures


def quota(times: Times) -> list[Figure]:
    """Measure the time under a quota of 600 requests a minute."""
    figures = []
    for ordered in (False, True):
        result = ours_over("600/min", times, 32, ordered, per_second=PER_SECOND)
        spent = result.seconds / (result.requests / PER_SECOND)
        figures.append(Figure(f"walk, {WAYS[ordered]}, 600 a minute: time / quota", spent, 1.03))
    return figures
