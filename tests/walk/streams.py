"""Random streams of messages, and walks over them to their end, with crashes and resumes."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from attrs import define, field
from hypothesis import strategies as st

from iottly_async.errors import ServerError
from iottly_async.models.cursor import Cursor, Order
from iottly_async.models.message import Message
from iottly_async.walk import PageRequest, WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row

__all__ = ["PAGE", "Case", "Walked", "cases", "counted", "rows_of", "streams", "walk"]

PAGE = 5
"""Messages a page in these tests, so that groups straddle pages all the time."""

MOST_CRASHES = 12
"""Crashes of one walk, at most."""

SPAN = 40_000
"""Length of a random stream in milliseconds, at most."""

BEGIN = NOW_MS - 100_000
"""When random streams begin, in milliseconds; they end long before the server's present."""

GROUPS = [2, 3, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 2, 10 * PAGE]
"""How many messages share a millisecond: around one page, around two, and many pages."""

_group = st.tuples(st.just("group"), st.integers(0, SPAN - 1), st.sampled_from(GROUPS))
_burst = st.tuples(st.just("burst"), st.integers(0, SPAN - 1), st.integers(1, 40))
_even = st.tuples(st.just("even"), st.integers(1, SPAN - 1), st.integers(1, 60))
_part = st.one_of(_group, _burst, _even)

streams = st.lists(_part, max_size=6)
"""Parts of a stream: one millisecond's group, messages close together, or spread evenly."""


def rows_of(parts: list[tuple[str, int, int]], *, payloads: int = 1000, seed: int = 0) -> list[Row]:
    """Make the rows of a stream's parts, of both types, with `payloads` different payloads."""
    chance = random.Random(seed)
    times: list[int] = []
    for kind, at, many in parts:
        if kind == "group":
            times += [at] * many
        elif kind == "burst":
            times += [min(at + chance.randrange(2 * many), SPAN - 1) for _ in range(many)]
        else:
            times += [chance.randrange(at) for _ in range(many)]
    return [
        Row(
            BEGIN + at,
            b'{"n":%d}' % chance.randrange(payloads),
            chance.choice(["userdefined", "userdefined", "iottlyagent"]),
            serial=serial,
        )
        for serial, at in enumerate(sorted(times))
    ]


@define(kw_only=True)
class Case:
    """A stream, a query, a form of the walk, and a consumer that may crash."""

    parts: list[tuple[str, int, int]]
    payloads: int
    order: Order
    type: str
    start: int | None
    end: int | None
    concurrency: int
    ordered: bool
    unstable: bool
    crashes: float
    seed: int

    def rows(self) -> list[Row]:
        """The rows of the stream."""
        return rows_of(self.parts, payloads=self.payloads, seed=self.seed)

    @property
    def query(self) -> WalkQuery:
        """The query of the walk."""
        return WalkQuery(
            project_id="p1",
            device_id="d1",
            type=self.type,
            order=self.order,
            start=self.start,
            end=self.end,
        )

    @property
    def in_order(self) -> bool:
        """Whether the walk promises batches in the order of time."""
        return self.ordered or self.concurrency == 1


_ANY_CONCURRENCY = st.sampled_from([1, 2, 3, 8, 32])


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    concurrency: st.SearchStrategy[int] = _ANY_CONCURRENCY,
    ordered: bool | None = None,
    crashes: bool = True,
) -> Case:
    """Draw any case; `concurrency` and `ordered` may be fixed."""
    parts = draw(streams)
    # Ranges begin and end on a group as often as anywhere.
    marks = st.sampled_from([at for _, at, _ in parts] or [0])
    bound = st.none() | marks.map(lambda at: BEGIN + at) | st.integers(BEGIN, BEGIN + SPAN)
    start, end = draw(bound), draw(bound)
    if start is not None and end is not None and start >= end:
        end = start + draw(st.integers(1, SPAN))
    return Case(
        parts=parts,
        payloads=draw(st.sampled_from([1, 3, 1000])),
        order=draw(st.sampled_from(["asc", "desc"])),
        type=draw(st.sampled_from(["all", "all", "userdefined", "iottlyagent"])),
        start=start,
        end=end,
        concurrency=draw(concurrency),
        ordered=draw(st.booleans()) if ordered is None else ordered,
        unstable=draw(st.booleans()),
        crashes=draw(st.sampled_from([0.0, 0.1, 0.3])) if crashes else 0.0,
        seed=draw(st.integers(0, 2**16)),
    )


@define(kw_only=True)
class Walked:
    """What a consumer has stored: messages together with the cursor that follows them."""

    messages: list[Message] = field(factory=list)
    cursor: Cursor | None = None
    crashes: int = 0
    intervals: int = 0  # the most that a cursor had

    @property
    def finished(self) -> bool:
        """Whether the last stored cursor is finished."""
        return self.cursor is not None and self.cursor.finished


async def walk(
    server: MessageServer,
    case: Case,
    settings: WalkSettings,
    *,
    before: Callable[[PageRequest, int], None] | None = None,
) -> Walked:
    """Walk `case` to its end; crash as often as it says, and resume from the stored cursor.

    A crash is one of: a request fails; the consumer stops in the middle; the consumer's task
    is cancelled at any moment.
    """
    chance = random.Random(case.seed)
    store = Walked()

    def crashes() -> bool:
        # A limited number: a millisecond of many pages must be read without a crash.
        return store.crashes < MOST_CRASHES and chance.random() < case.crashes / 4

    def fail(request: PageRequest, number: int) -> None:
        if before is not None:
            before(request, number)
        if crashes():
            raise ServerError("injected", status=500)

    server.before = fail

    async def consume() -> None:
        generator = batches(
            server.fetch,
            case.query,
            settings=settings,
            cursor=store.cursor,
            concurrency=case.concurrency,
            ordered=case.ordered,
            clock=server.clock,
            history=server.history,
        )
        try:
            async for batch in generator:
                store.messages += batch.messages
                store.cursor = Cursor.from_json(batch.cursor.to_json())
                store.intervals = max(store.intervals, len(store.cursor.remaining))
                if crashes():
                    store.crashes += 1
                    return
        finally:
            await generator.aclose()

    while not store.finished:
        consumer = asyncio.ensure_future(consume())
        if store.crashes < MOST_CRASHES and chance.random() < case.crashes:
            await asyncio.wait([consumer], timeout=chance.random())
            consumer.cancel()
        await asyncio.wait([consumer])
        if consumer.cancelled() or isinstance(consumer.exception(), ServerError):
            store.crashes += 1
        else:
            consumer.result()
    return store


def counted(rows: list[Row]) -> Counter[tuple[int, bytes]]:
    """Count rows by what messages show of them: time and payload."""
    return Counter((row.at, row.payload) for row in rows)
