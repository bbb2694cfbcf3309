"""The fast path: decoding, walking, memory and import, against what a client cannot do without."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.codec import decode_history, decode_page
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer

from .clients import KEY, Ordinary, Raw
from .pages import DEVICE, PROJECT, SIZE, Range, page, row
from .pageserver import page_server
from .pairing import Race, Work
from .table import Figure

QUICK: Final = ["--messages", "9901", "--turns", "9", "--million", "200000"]


def main(argv: list[str]) -> list[Figure]:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fastpath", description=__doc__)
    parser.add_argument("--messages", type=int, default=19_801, help="messages a walk")
    parser.add_argument("--turns", type=int, default=21, help="turns, each of one paired ratio")
    parser.add_argument("--million", type=int, default=1_000_000, help="messages for memory")
    parser.add_argument("--part", choices=PARTS, action="append", help="only these parts")
    given = parser.parse_args(argv)
    figures: list[Figure] = []
    for part in given.part or PARTS:
        figures += PARTS[part](given)
    return figures


# --- decoding ----------------------------------------------------------------------------


def decoding(given: argparse.Namespace) -> list[Figure]:
    """Bodies to messages, against `orjson.loads` of the same bytes."""
    ids = {"project_id": PROJECT, "device_id": DEVICE}
    forms = {
        "page": page([row(index) for index in range(SIZE)]),
        "page, unknown field": page([row(index, hops=index % 7) for index in range(SIZE)]),
        "history": page([row(index, stored=True) for index in range(SIZE)], stored=True),
    }

    def looked_at(body: bytes) -> None:
        for message in decode_page(body, **ids):
            message.payload  # noqa: B018 - looking at it decodes it

    ways: dict[str, tuple[str, Callable[[bytes], Any], float | None]] = {
        "decode a page / orjson.loads": ("page", lambda body: decode_page(body, **ids), 1.77),
        "decode a page, payloads looked at / orjson.loads": ("page", looked_at, None),
        "decode a page with an unknown field / orjson.loads": (
            "page, unknown field",
            lambda body: decode_page(body, **ids),
            3.5,
        ),
        "decode a history page / orjson.loads": (
            "history",
            lambda body: decode_history(body, **ids),
            1.77,
        ),
    }
    contenders: dict[str, Work] = {
        f"floor: {form}": _repeated(orjson.loads, body) for form, body in forms.items()
    }
    for text, (form, way, _) in ways.items():
        contenders[text] = _repeated(way, forms[form])
    race = Race()
    asyncio.run(race.run(contenders, given.turns))
    _told(race, contenders, "message", ["cpu"])
    return [
        race.figure(text, text, f"floor: {form}", bound=bound)
        for text, (form, _, bound) in ways.items()
    ]


def _repeated(work: Callable[[bytes], Any], body: bytes, times: int = 40) -> Work:
    async def repeat() -> int:
        for _ in range(times):
            work(body)
        return times * SIZE

    return repeat


# --- walks -------------------------------------------------------------------------------


class Walker:
    """The library's session, walking."""

    def __init__(self, base: str, http: Any = None) -> None:
        config = Config(base_url=base)
        self._session = IottlySession(KEY, config=config, http=http, limiter=RateLimiter())
        self._messages = self._session.project(PROJECT).messages

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.aclose()

    async def walk(self) -> int:
        """Every message, its payload looked at."""
        count = 0
        async with aclosing(self._messages.walk(DEVICE)) as found:
            async for message in found:
                message.payload  # noqa: B018 - looking at it decodes it
                count += 1
        return count

    async def hand_on(self) -> int:
        """Every message in batches, its payload taken as JSON."""
        count = 0
        async with aclosing(self._messages.batches(DEVICE)) as found:
            async for batch in found:
                for message in batch.messages:
                    message.payload_json  # noqa: B018 - as who writes it to a file does
                count += len(batch.messages)
        return count


def loopback(given: argparse.Namespace) -> list[Figure]:
    """Walks over a server process, against other clients of the same pages."""
    with page_server(given.messages) as base:
        return asyncio.run(_loopback(base, given.turns))


async def _loopback(base: str, turns: int) -> list[Figure]:
    ours, raw, ordinary = Walker(base), Raw(base), Ordinary(base)
    contenders: dict[str, Work] = {
        "walk": ours.walk,
        "batches": ours.hand_on,
        "raw + orjson.loads": raw.loads,
        "raw + our codec": raw.structured,
        "ordinary client": ordinary.walk,
    }
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        for client in (ours, raw, ordinary):
            await client.aclose()
    _told(race, contenders, "message", ["cpu", "wall"])
    base_name = "raw + orjson.loads"
    return [
        race.figure("walk, payloads looked at / raw + orjson.loads", "walk", base_name, "cpu", 1.4),
        race.figure("  the same, wall clock", "walk", base_name, "wall", 1.4),
        race.figure("batches, payload as JSON / the same", "batches", base_name, "cpu", 1.0),
        race.figure("  the same, wall clock", "batches", base_name, "wall", 1.0),
        race.figure("walk / raw + the same structuring", "walk", "raw + our codec", "cpu", 1.12),
        race.figure("  the same, wall clock", "walk", "raw + our codec", "wall", 1.12),
        race.saving("an ordinary client / walk, CPU", "walk", "ordinary client", 3.5),
        race.saving("an ordinary client / batches, CPU", "batches", "ordinary client", 3.5),
    ]


class InMemory:
    """A transport that has every answer at once."""

    def __init__(self, messages: Range) -> None:
        self._messages = messages
        self._headers = {"content-type": "application/json"}

    async def send(self, outgoing: Outgoing) -> Answer:
        """The page that is asked for."""
        outgoing.left = True
        query = outgoing.target.partition("?")[2]
        parameters = dict(part.split("=", 1) for part in query.split("&"))
        return Answer(200, self._headers, self._messages.since(parameters.get("from", "")))

    async def aclose(self) -> None:
        """Nothing to close."""

    async def loads(self) -> int:
        """Every page as plain dicts, without anything between."""
        count, since = 0, ""
        while True:
            target = f"/?from={since}"
            answer = await self.send(Outgoing("GET", target, self._headers))
            messages = orjson.loads(answer.body)["messages"]
            if len(messages) < SIZE:
                return count + len(messages)
            since = messages[-1]["timestamp"]
            count += SIZE - 1


def in_memory(given: argparse.Namespace) -> list[Figure]:
    """Walks over a transport in memory: what of the cost is the library's own."""
    return asyncio.run(_in_memory(Range(given.messages), given.turns))


async def _in_memory(messages: Range, turns: int) -> list[Figure]:
    transport = InMemory(messages)
    ours = Walker("http://127.0.0.1", transport)
    contenders: dict[str, Work] = {
        "walk": ours.walk,
        "batches": ours.hand_on,
        "orjson.loads": transport.loads,
    }
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        await ours.aclose()
    _told(race, contenders, "message", ["cpu"])
    return [
        race.figure("in memory: walk, payloads looked at / orjson.loads", "walk", "orjson.loads"),
        race.figure("in memory: batches, payload as JSON / the same", "batches", "orjson.loads"),
    ]


def _told(race: Race, contenders: Mapping[str, Work], unit: str, meters: list[Any]) -> None:
    width = max(map(len, contenders))
    for name in contenders:
        took = ", ".join(f"{race.best(name, meter):6.2f} µs {meter}" for meter in meters)
        print(f"  {name:<{width}}  {took} a {unit} at best")


# --- memory and import -------------------------------------------------------------------


def memory(given: argparse.Namespace) -> list[Figure]:
    """How the process grows while a long range is walked (resident set, /proc/self/statm)."""
    with page_server(given.million) as base:
        warm, grown = asyncio.run(_memory(base, given.million))
    print(f"  {warm:.1f} MiB resident after {given.million // 10} messages")
    text = f"growth of memory from {given.million // 10} to {given.million} messages"
    return [Figure(text, grown, 1.0, unit="MiB")]


async def _memory(base: str, million: int) -> tuple[float, float]:
    ours = Walker(base)
    count, warm, most = 0, 0.0, 0.0
    try:
        async with aclosing(ours._messages.walk(DEVICE)) as found:
            async for message in found:
                message.payload  # noqa: B018
                count += 1
                if count % 1000 == 0:
                    warm, most = _grown(count <= million // 10, warm, most)
    finally:
        await ours.aclose()
    return warm, most - warm


def _grown(warming: bool, warm: float, most: float) -> tuple[float, float]:
    now = resident()
    return (max(warm, now), max(most, now)) if warming else (warm, max(most, now))


def resident() -> float:
    """MiB of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


_IMPORT: Final = """
import sys, time
before, at = set(sys.modules), time.process_time()
import {modules}
print(time.process_time() - at, len(set(sys.modules) - before))
"""
_DEPENDENCIES: Final = "aiohttp, attrs, backoff, cattrs, msgspec"


def importing(given: argparse.Namespace) -> list[Figure]:
    """``import iottly_async``, against the import of what it depends on."""
    ratios = []
    for _ in range(max(3, given.turns // 2)):
        ours, modules = _import("iottly_async")
        theirs, their_modules = _import(_DEPENDENCIES)
        ratios.append(ours / theirs)
    print(f"  iottly_async: {ours * 1e3:.0f} ms CPU, {modules} modules")
    print(f"  {_DEPENDENCIES}: {theirs * 1e3:.0f} ms CPU, {their_modules} modules")
    return [Figure("import iottly_async / import of its dependencies", statistics.median(ratios))]


def _import(modules: str) -> tuple[float, int]:
    command = [sys.executable, "-c", _IMPORT.format(modules=modules)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, count = printed.split()
    return float(seconds), int(count)


PARTS: Final[Mapping[str, Callable[[argparse.Namespace], list[Figure]]]] = {
    "decoding": decoding,
    "loopback": loopback,
    "in-memory": in_memory,
    "memory": memory,
    "import": importing,
}
