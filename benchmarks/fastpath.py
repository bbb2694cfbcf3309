"""Fast path: decoding and walking, compared with the least that a client must do.

CPU is the CPU time of this process; wall is the time that its user waits. The server is a
process of its own that sends prebuilt pages. All contenders fetch the same pages by the same
number of requests: raw aiohttp and the clients written by hand with a session of aiohttp's
defaults, the library with its own. The library fetches the next page while it works on the
last one, so it spends some CPU time while the others wait.

Parts: `decoding` (bodies to messages), `loopback` (walks over sockets, against other
clients), `columns` (the same into Arrow columns), `ties` (the same where up to 2, and up to 5,
messages share a millisecond), `in-memory` (walks without sockets).

What can be reached, in µs of CPU for a page of 100 messages, at best, on the machine on which
the bounds were set (`python -m benchmarks fastpath --part loopback` shows all of it):

- Raw aiohttp with `orjson.loads` takes 183: about 125 to get the page and 55 to decode it.
  aiohttp's connector and parser without its session get the page in 65, and a bare asyncio
  protocol would in 44. Our codec makes messages of it in 71, and allocating their memory
  costs 20 to 30 more. So a client that makes messages over aiohttp's connector takes at least
  167 ("bare"), 0.9 of raw. For `batches` at 1.0, all that makes it a walk would have 16 left:
  deadline, retries, quota, statistics, keyset pagination, the check of the order, the cursor,
  and the channel from the task that fetches ahead. It takes 48.
- The client written by hand takes 745, and 745 / 3.5 is 213. Bare, with payloads decoded (40)
  and messages yielded one by one (10), takes 217 before anything makes it a walk.
- Arrow columns: raw aiohttp with `orjson.loads` and `from_pylist` takes 505, and 0.35 of it is 177.
  Our connections and typed rows take 207, which is more, before there is a column. Columns take 80
  and keys 170. Raw has no keys; a hash of each of its messages makes it take 670.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import orjson

from iottly_async.codec import decode_history, decode_page
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer

from .clients import Bare, ByHand, Raw, Walker, by_name, held_from
from .pages import DEVICE, PROJECT, SIZE, Range, page, row
from .pageserver import page_server
from .pairing import Meter, Race, Work
from .table import Figure, Row, run_parts

QUICK: Final = ["--messages", "9901", "--turns", "9"]


def main(argv: list[str]) -> Iterator[Row]:
    """Measure the parts that the arguments name; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fastpath", description=__doc__)
    parser.add_argument("--messages", type=int, default=19_801, help="messages a walk")
    parser.add_argument("--turns", type=int, default=21, help="turns, each of one paired ratio")
    parser.add_argument("--part", choices=PARTS, action="append", help="only these parts")
    given = parser.parse_args(argv)
    return run_parts({part: partial(PARTS[part], given) for part in given.part or PARTS})


# --- decoding ----------------------------------------------------------------------------


def decoding(given: argparse.Namespace) -> list[Figure]:
    """Decode bodies into messages, compared with `orjson.loads` of the same bytes."""
    ids = {"project_id": PROJECT, "device_id": DEVICE}
    forms = {
        "page": page([row(index) for index in range(SIZE)]),
        "page, unknown field": page([row(index, hops=index % 7) for index in range(SIZE)]),
        "history": page([row(index, stored=True) for index in range(SIZE)], stored=True),
    }

    def with_payloads(body: bytes) -> None:
        for message in decode_page(body, **ids).messages:
            message.payload  # noqa: B018 - access decodes it

    ways: dict[str, tuple[str, Callable[[bytes], Any], float | None]] = {
        "decode a page / orjson.loads": ("page", lambda body: decode_page(body, **ids), 1.77),
        "decode a page and its payloads / orjson.loads": ("page", with_payloads, None),
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
    _print_best(race, contenders, "message", ["cpu"])
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
    """Walk over sockets, compared with other clients of the same pages."""
    with page_server(given.messages) as base:
        return asyncio.run(_loopback(base, given.turns))


async def _loopback(base: str, turns: int) -> list[Figure]:
    walker, bare, raw = Walker(base), Bare(base), Raw(base)
    by_hand, session_a_call = ByHand(base), ByHand(base, session_a_call=True)
    contenders: dict[str, Work] = {
        "walk": walker.walk,
        "batches": walker.hand_on,
        "bare: our connections + codec": bare.hand_on,
        "raw + orjson.loads": raw.loads,
        "raw + our codec": raw.structured,
        "client by hand": by_hand.walk,
        "the same, a session a call": session_a_call.walk,
    }
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        for client in (walker, bare, raw, by_hand, session_a_call):
            await client.aclose()
    _print_best(race, contenders, "message", ["cpu", "wall"])
    pairs = [
        ("walk, payloads decoded / raw + orjson.loads", "walk", "raw + orjson.loads", 1.2),
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
        race.saving("a client by hand / walk, CPU", "walk", "client by hand", 3.5),
        race.saving("a client by hand / batches, CPU", "batches", "client by hand"),
        race.saving(
            "the same with a session a call / walk, CPU", "walk", "the same, a session a call"
        ),
    ]


def columns(given: argparse.Namespace) -> list[Figure]:
    """Walk over sockets into Arrow columns, compared with an Arrow table of plain dicts."""
    with page_server(given.messages) as base:
        return asyncio.run(_columns(base, given.turns))


async def _columns(base: str, turns: int) -> list[Figure]:
    walker, bare, raw = Walker(base), Bare(base), Raw(base)
    contenders: dict[str, Work] = {
        "arrow": walker.columns,
        "bare: our connections + rows": bare.rows,
        "raw + orjson.loads + from_pylist": raw.columns,
        "the same, keys made": partial(raw.columns, keyed=True),
    }
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        for client in (walker, bare, raw):
            await client.aclose()
    _print_best(race, contenders, "message", ["cpu", "wall"])
    other = "raw + orjson.loads + from_pylist"
    return [
        race.figure(f"arrow / {other}, CPU", "arrow", other, bound=0.35),
        race.figure("arrow / the same, keys made, CPU", "arrow", "the same, keys made"),
        race.figure(f"bare rows / {other}, CPU", "bare: our connections + rows", other),
    ]


TIES: Final = (2, 5)


def ties(given: argparse.Namespace) -> Iterator[Figure]:
    """Walk over sockets where messages share milliseconds, compared with raw aiohttp."""
    for most in TIES:
        with page_server(given.messages, most) as base:
            yield from asyncio.run(_ties(base, most, given.turns))


async def _ties(base: str, most: int, turns: int) -> list[Figure]:
    walker, raw = Walker(base), Raw(base)
    contenders: dict[str, Work] = {
        "walk": walker.walk,
        "batches": walker.hand_on,
        "raw": raw.loads,
    }
    race = Race()
    try:
        await race.run(contenders, turns)
    finally:
        await walker.aclose()
        await raw.aclose()
    tied = f"up to {most} a millisecond"
    print(f"  {tied}:")
    _print_best(race, contenders, "message", ["cpu", "wall"])
    return [
        race.figure(f"walk, payloads decoded, {tied} / raw, CPU", "walk", "raw"),
        race.figure(f"batches, payload as JSON, {tied} / raw, CPU", "batches", "raw"),
    ]


class InMemory:
    """A transport without sockets: it has each page in memory."""

    def __init__(self, messages: Range) -> None:
        self._messages = messages
        self._headers = {"content-type": "application/json"}

    async def send(self, outgoing: Outgoing) -> Answer:
        """Return the page that the request names."""
        outgoing.may_have_left = True
        query = outgoing.target.partition("?")[2]
        parameters = dict(part.split("=", 1) for part in query.split("&"))
        return Answer(200, self._headers, self._messages.since(parameters.get("from", "")))

    async def aclose(self) -> None:
        """Nothing to close."""

    async def loads(self) -> int:
        """Decode every page into dicts, with nothing between."""
        count, since = 0, ""
        while True:
            target = f"/?from={since}"
            answer = await self.send(Outgoing("GET", target, self._headers))
            messages = orjson.loads(answer.body)["messages"]
            if len(messages) < SIZE:
                return count + len(messages)
            since = messages[-1]["timestamp"]
            count += held_from(messages, by_name)


def in_memory(given: argparse.Namespace) -> Iterator[Figure]:
    """Walk without sockets: what the library itself costs."""
    for most in (1, *TIES):
        yield from asyncio.run(_in_memory(Range(given.messages, most), most, given.turns))


async def _in_memory(messages: Range, most: int, turns: int) -> list[Figure]:
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
    tied = "" if most == 1 else f", up to {most} a millisecond"
    print(f"  in memory{tied}:")
    _print_best(race, contenders, "message", ["cpu"])
    return [
        race.figure(f"in memory: walk{tied} / orjson.loads", "walk", "orjson.loads"),
        race.figure(f"in memory: batches{tied} / orjson.loads", "batches", "orjson.loads"),
    ]


def _print_best(race: Race, contenders: Mapping[str, Work], unit: str, meters: list[Meter]) -> None:
    width = max(map(len, contenders))
    for name in contenders:
        times = ", ".join(f"{race.best(name, meter):6.2f} µs {meter}" for meter in meters)
        print(f"  {name:<{width}}  {times} a {unit} at best")


PARTS: Final[Mapping[str, Callable[[argparse.Namespace], Iterable[Figure]]]] = {
    "decoding": decoding,
    "loopback": loopback,
    "columns": columns,
    "ties": ties,
    "in-memory": in_memory,
}
