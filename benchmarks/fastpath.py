"""The fast path: decoding and walking, against what no client can do without.

CPU is that of this process alone; wall is what its user waits. The server is another
process, which answers with pages made beforehand. All contenders fetch the same pages
by as many requests: raw aiohttp and the ordinary clients with a session of aiohttp's
defaults, the library with its own. The library asks for the next page while it works
on the last, so some of its CPU time is spent while the others wait.

What can be reached at all, in µs of CPU for a page of 100, at best, on the machine on which
the bounds were set (`python -m benchmarks fastpath --part loopback` tells them all):

- Raw aiohttp with `orjson.loads` takes 183: some 125 to get the page, 55 to read it. aiohttp's
  connector and parser, without its session, get it in 65, and a bare asyncio protocol would
  in 44. Our codec makes messages of it in 71, and their memory, new and cold, costs 20 to 30
  more. So what makes messages over aiohttp's connector takes 167 at least ("bare"), 0.9 of
  raw. For `batches` at 1.0 all that makes it a walk would have 16 left: deadline, retries and
  their budget, quota, statistics, held-back seek, the proof of order, the cursor, the handing
  over from the task that fetches ahead. It takes 48.
- The ordinary client takes 745, and a 3.5th of it is 213. Bare, with payloads decoded (40) and
  messages handed out one by one (10), is at 217 before anything makes it a walk.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from iottly_async.codec import decode_history, decode_page
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer

from .clients import Bare, Ordinary, Raw, Walker
from .pages import DEVICE, PROJECT, SIZE, Range, page, row
from .pageserver import page_server
from .pairing import Race, Work
from .table import Figure

QUICK: Final = ["--messages", "9901", "--turns", "9"]


def main(argv: list[str]) -> list[Figure]:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fastpath", description=__doc__)
    parser.add_argument("--messages", type=int, default=19_801, help="messages a walk")
    parser.add_argument("--turns", type=int, default=21, help="turns, each of one paired ratio")
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
            1.19,
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


def loopback(given: argparse.Namespace) -> list[Figure]:
    """Walks over a server process, against other clients of the same pages."""
    with page_server(given.messages) as base:
        return asyncio.run(_loopback(base, given.turns))


async def _loopback(base: str, turns: int) -> list[Figure]:
    walker, bare, raw = Walker(base), Bare(base), Raw(base)
    ordinary, careless = Ordinary(base), Ordinary(base, session_a_call=True)
    contenders: dict[str, Work] = {
        "walk": walker.walk,
        "batches": walker.hand_on,
        "bare: our connections + codec": bare.hand_on,
        "raw + orjson.loads": raw.loads,
        "raw + our codec": raw.structured,
        "ordinary client": ordinary.walk,
        "the same, a session a call": careless.walk,
    }
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        for client in (walker, bare, raw, ordinary, careless):
            await client.aclose()
    _told(race, contenders, "message", ["cpu", "wall"])
    pairs = [
        ("walk, payloads looked at / raw + orjson.loads", "walk", "raw + orjson.loads", 1.4),
        ("batches, payload as JSON / raw + orjson.loads", "batches", "raw + orjson.loads", 1.0),
        ("walk / raw + the same structuring", "walk", "raw + our codec", 1.12),
    ]
    return [
        *(
            race.figure(f"{text}, CPU", one, other, "cpu", bound)
            for text, one, other, bound in pairs
        ),
        *(
            race.figure(f"{text}, wall", one, other, "wall", bound)
            for text, one, other, bound in pairs
        ),
        race.figure("batches / bare, CPU", "batches", "bare: our connections + codec"),
        race.figure(
            "bare / raw + orjson.loads, CPU", "bare: our connections + codec", "raw + orjson.loads"
        ),
        race.saving("an ordinary client / walk, CPU", "walk", "ordinary client", 3.5),
        race.saving("an ordinary client / batches, CPU", "batches", "ordinary client"),
        race.saving("one with a session a call / walk, CPU", "walk", "the same, a session a call"),
    ]


class InMemory:
    """A transport that has every answer at once."""

    def __init__(self, messages: Range) -> None:
        self._messages = messages
        self._headers = {"content-type": "application/json"}

    async def send(self, outgoing: Outgoing) -> Answer:
        """The page that is asked for."""
        outgoing.may_have_left = True
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


PARTS: Final[Mapping[str, Callable[[argparse.Namespace], list[Figure]]]] = {
    "decoding": decoding,
    "loopback": loopback,
    "in-memory": in_memory,
}
