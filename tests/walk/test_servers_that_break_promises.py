"""Servers that break the documents' promises: a walk yields all messages, or an error.

A walk never loses a message in silence, yields one twice, or goes on without an end.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest
from msgspec import structs

from iottly_async.errors import PageOrderError
from iottly_async.models.cursor import Order
from iottly_async.models.row import MessageRow
from iottly_async.walk import Fetched, PageRequest, Quirks, WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row
from tests.support.virtual_time import virtual

LIMIT = 20
"""Messages a page."""

MOST = 1500
"""Requests at most; a walk that makes more does not end."""

FORMS = [(1, True), (4, True), (4, False)]

Asked = Callable[[PageRequest], PageRequest]
Answered = Callable[[list[MessageRow]], list[MessageRow]]


def as_it_is(request: PageRequest) -> PageRequest:
    return request


def moved(start: int = 0, end: int = 0) -> Asked:
    """A server that moves the bounds by so many milliseconds."""

    def ask(asked: PageRequest) -> PageRequest:
        return attrs.evolve(
            asked,
            start=None if asked.start is None else asked.start + start,
            end=None if asked.end is None else asked.end + end,
        )

    return ask


def ignoring(*, start: bool = False, end: bool = False) -> Asked:
    """A server that ignores page numbers, and the bounds named."""

    def ask(asked: PageRequest) -> PageRequest:
        low, high = None if start else asked.start, None if end else asked.end
        return attrs.evolve(asked, number=None, start=low, end=high)

    return ask


def sorted_always(order: Order) -> Asked:
    return lambda asked: attrs.evolve(asked, order=order)


def numbered_from(first: int) -> Asked:
    """A server whose page numbers begin with another number than the walk's (D3)."""

    def ask(asked: PageRequest) -> PageRequest:
        number = None if asked.number is None else max(1, asked.number + 1 - first)
        return attrs.evolve(asked, number=number)

    return ask


def of_two_thirds(asked: PageRequest) -> PageRequest:
    return attrs.evolve(asked, size=max(1, asked.size * 2 // 3))


def without_fraction(page: list[MessageRow]) -> list[MessageRow]:
    return [structs.replace(one, time=one.time.replace(microsecond=0)) for one in page]


def with_microseconds(page: list[MessageRow]) -> list[MessageRow]:
    return [
        structs.replace(one, time=one.time + timedelta(microseconds=n * 7919 % 1000))
        for n, one in enumerate(page)
    ]


def thinned(page: list[MessageRow]) -> list[MessageRow]:
    """Filter after the limit was applied, so that every page is short."""
    return [one for one in page if int(one.payload_json) % 5]


def stuck() -> Answered:
    first: list[MessageRow] = []

    def answer(page: list[MessageRow]) -> list[MessageRow]:
        first[:] = first or page
        return first

    return answer


def rows(kind: str) -> list[Row]:
    """Make a stream that is difficult for page numbers, bounds or short pages."""
    chance = random.Random(3)
    at = NOW_MS - 900_000
    times = {
        "mixed": [chance.randrange(600_000) for _ in range(200)]
        + [t for size in (19, 20, 21, 45) for t in [chance.randrange(600_000)] * size]
        + [610_000 + chance.randrange(3000) for _ in range(90)],
        "plain": [chance.randrange(600_000) for _ in range(300)],
        "group first": [0] * 70 + [1000 + 700 * n for n in range(60)],
        "groups": [5000 * n for n in range(6) for _ in range(20)],
        "dense": [chance.randrange(6000) for _ in range(240)],
    }[kind]
    return [Row(at + time, b"%d" % n, serial=n) for n, time in enumerate(sorted(times))]


async def walked(
    kind: str,
    ask: Asked,
    answer: Answered,
    order: Order,
    form: tuple[int, bool],
    round_from: int = 1,
) -> tuple[Counter[bytes], Counter[bytes], PageOrderError | None]:
    """Walk over such a server: what the walk yielded, what there is, and its error."""
    stream = rows(kind)
    server = MessageServer(stream, limit=LIMIT, jitter=0.5, round_from=round_from)

    async def fetch(request: PageRequest) -> Fetched:
        assert server.requests < MOST, "the walk does not end"
        fetched = await server.fetch(ask(request))
        return attrs.evolve(fetched, messages=answer([*fetched.messages]))

    walk = batches(
        fetch,
        WalkQuery(project_id="p1", device_id="d1", order=order),
        settings=WalkSettings(page_size=LIMIT),
        concurrency=form[0],
        ordered=form[1],
        clock=server.clock,
        history=server.history,
    )
    got: Counter[bytes] = Counter()
    error = None
    try:
        async for batch in walk:
            got.update(message.payload_json for message in batch.messages)
    except PageOrderError as caught:
        error = caught
    return got, Counter(row.payload for row in stream), error


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("kind", ["mixed", "plain", "group first", "groups", "dense"])
@pytest.mark.parametrize("start", [0, 1], ids=["from inclusive", "from exclusive"])
@pytest.mark.parametrize("end", [0, 1], ids=["to exclusive", "to inclusive"])
@virtual
async def test_bounds_may_be_inclusive_or_exclusive(
    end: int, start: int, kind: str, order: Order, form: tuple[int, bool]
) -> None:
    """With an exclusive `from` or an inclusive `to`, nothing is lost or repeated."""
    got, truth, _ = await walked(kind, moved(start, end), list, order, form)
    assert got == truth


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("kind", ["mixed", "dense"])
@pytest.mark.parametrize("answer", [without_fraction, with_microseconds])
@virtual
async def test_times_may_be_coarser_or_finer(
    answer: Answered, kind: str, order: Order, form: tuple[int, bool]
) -> None:
    """Times may lack milliseconds while bounds have them, or have microseconds."""
    got, truth, _ = await walked(kind, as_it_is, answer, order, form)
    assert got == truth


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@virtual
async def test_pages_filtered_after_their_limit_are_not_the_last(
    order: Order, form: tuple[int, bool]
) -> None:
    """Every page may be shorter than requested, each by another number."""
    got, truth, _ = await walked("plain", as_it_is, thinned, order, form)
    assert got == Counter({payload: 1 for payload in truth if int(payload) % 5})


BROKEN: dict[str, tuple[Asked, Callable[[], Answered], int]] = {
    "sort is always asc": (sorted_always("asc"), lambda: list, 1),
    "sort is always desc": (sorted_always("desc"), lambda: list, 1),
    "p is ignored": (ignoring(), lambda: list, 1),
    "p is ignored, from rounded": (ignoring(), lambda: list, 60_000),
    "from and p are ignored": (ignoring(start=True), lambda: list, 1),
    "to and p are ignored": (ignoring(end=True), lambda: list, 1),
    "all bounds and p are ignored": (ignoring(start=True, end=True), lambda: list, 1),
    "p counts from 0": (numbered_from(0), lambda: list, 1),
    "p counts from 0, from rounded": (numbered_from(0), lambda: list, 60_000),
    "p counts from 2": (numbered_from(2), lambda: list, 1),
    "pages of two thirds": (of_two_thirds, lambda: list, 1),
    "always the same page": (as_it_is, stuck, 1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("kind", ["mixed", "plain", "group first", "groups", "dense"])
@pytest.mark.parametrize("promise", BROKEN)
@virtual
async def test_a_broken_promise_is_an_error_or_makes_no_difference(
    promise: str, kind: str, order: Order, form: tuple[int, bool]
) -> None:
    """The walk ends with all messages or with `PageOrderError`; none comes twice."""
    ask, answer, round_from = BROKEN[promise]
    got, truth, error = await walked(kind, ask, answer(), order, form, round_from)
    assert not got - truth
    assert error is not None or got == truth


@virtual
async def test_what_a_walk_learned_is_known_to_the_next() -> None:
    """With the quirks that a first walk has learned, a second one over a large millisecond
    makes no request to test page numbers."""
    quirks = Quirks()
    tests = []
    for _ in range(2):
        server = MessageServer(rows("group first"), limit=LIMIT)
        query = WalkQuery(project_id="p1", device_id="d1")
        settings = WalkSettings(page_size=LIMIT, quirks=quirks)
        async for _ in batches(server.fetch, query, settings=settings, clock=server.clock):
            pass
        tests.append(sum(request.size == 1 for request in server.log))
    assert tests == [3, 0]


@virtual
async def test_the_error_says_what_to_set() -> None:
    """If page numbers do not count right, the error names the setting to change."""
    *_, error = await walked("group first", numbered_from(0), list, "asc", (1, True))
    assert "Config.first_page" in str(error)
