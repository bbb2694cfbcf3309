"""Many devices of which some fail: each ends alone, and one error tells of all of them."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import (
    ConfigurationError,
    CursorMismatchError,
    DevicesFailedError,
    ForbiddenError,
    NotFoundError,
    PageOrderError,
    SessionClosedError,
    UnauthorizedError,
)
from iottly_async.models.cursor import Cursor
from iottly_async.walk import PageRequest, WalkQuery, WalkSettings, batches_many
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.virtual_time import run_virtual, virtual

PAGE = 10
SETTINGS = WalkSettings(page_size=PAGE, settle=0.0)


def fleet(devices: int, *, rows: int = 95) -> MessageServer:
    """A server with that many devices, d0 first, each with as many rows."""
    return MessageServer(
        [
            Row(NOW_MS - 1000 * (rows - n) - 100_000 + device, b"%d" % n, device=f"d{device}")
            for device in range(devices)
            for n in range(rows)
        ],
        jitter=0.5,
    )


class Taken:
    """What a consumer has of each device, and the cursor of its last batch."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int, bytes]]] = {}
        self.cursors: dict[str, Cursor] = {}

    async def walk(self, server: MessageServer, devices: int, *, concurrency: int = 4) -> None:
        """Walk all devices from these cursors on."""
        found = batches_many(
            server.fetch,
            [WalkQuery(project_id="p1", device_id=f"d{n}") for n in range(devices)],
            settings=SETTINGS,
            cursors=self.cursors,
            concurrency=concurrency,
            clock=server.clock,
        )
        try:
            async for batch in found:
                device_id = batch.cursor.device_id
                self.rows.setdefault(device_id, []).extend(map(identity, batch.messages))
                self.cursors[device_id] = Cursor.from_json(batch.cursor.to_json())
        finally:
            await found.aclose()

    def is_whole(self, server: MessageServer, device_id: str) -> bool:
        """Whether each row of a device came once."""
        truth = Counter((row.at, row.payload) for row in server.truth(device=device_id))
        return Counter(self.rows.get(device_id, [])) == truth


@pytest.mark.parametrize("concurrency", [1, 4, 32])
@virtual
async def test_all_of_the_others_is_yielded_before_the_error(concurrency: int) -> None:
    """Two devices of six fail, one at its first page and one later: the other four come whole,
    then one error holds both, with the cursor of the one that was begun."""
    server, taken = fleet(6), Taken()
    pages: Counter[str] = Counter()

    def fail(request: PageRequest, _: int) -> None:
        pages[request.device_id] += 1
        if request.device_id == "d1":
            raise ForbiddenError("no", status=403)
        if request.device_id == "d4" and pages["d4"] > 3:
            raise PageOrderError("wrong way")

    server.before = fail
    with pytest.raises(DevicesFailedError, match="2 of 6 devices failed") as caught:
        await taken.walk(server, 6, concurrency=concurrency)
    failures = caught.value.failures
    assert set(failures) == {"d1", "d4"}
    assert isinstance(failures["d1"].error, ForbiddenError)
    assert isinstance(failures["d4"].error, PageOrderError)
    assert failures["d1"].cursor is None
    for device in (0, 2, 3, 5):
        assert taken.is_whole(server, f"d{device}")
        assert taken.cursors[f"d{device}"].finished
    server.before = None
    cursor = failures["d4"].cursor
    assert cursor.count == len(taken.rows["d4"]) > 0
    taken.cursors["d4"] = cursor
    await taken.walk(server, 6, concurrency=concurrency)
    assert all(taken.is_whole(server, f"d{device}") for device in range(6))


@virtual
async def test_a_device_that_failed_costs_no_more_requests() -> None:
    """The segments of a failed device are dropped, whatever others of it are under way."""
    server, taken = fleet(2, rows=2000), Taken()
    asked: list[int] = []

    def fail(request: PageRequest, number: int) -> None:
        if request.device_id == "d0":
            asked.append(number)
            if len(asked) >= 40:
                raise NotFoundError("gone", status=404)

    server.before = fail
    with pytest.raises(DevicesFailedError):
        await taken.walk(server, 2, concurrency=8)
    assert len(asked) < 40 + 8
    assert taken.is_whole(server, "d1")


@pytest.mark.parametrize(
    "error",
    [UnauthorizedError("no", status=401), SessionClosedError("over"), ConfigurationError("fork")],
    ids=lambda error: type(error).__name__,
)
@virtual
async def test_what_every_device_would_meet_is_raised_at_once(error: Exception) -> None:
    """A refused key, a closed session and a wrong setting end the walk as themselves."""
    server, taken = fleet(5), Taken()

    def fail(request: PageRequest, number: int) -> None:
        if number == 20:
            raise error

    server.before = fail
    with pytest.raises(type(error)) as caught:
        await taken.walk(server, 5)
    assert caught.value is error
    assert server.requests < 20 + 8


@virtual
async def test_every_device_may_fail() -> None:
    """If all fail, each was asked once, and the error holds all of them."""
    server, taken = fleet(12), Taken()

    def fail(request: PageRequest, _: int) -> None:
        raise ForbiddenError(f"not {request.device_id}", status=403)

    server.before = fail
    with pytest.raises(DevicesFailedError) as caught:
        await taken.walk(server, 12)
    assert set(caught.value.failures) == {f"d{n}" for n in range(12)}
    assert server.requests == 12
    assert taken.rows == {}


@virtual
async def test_a_cursor_that_is_refused_ends_its_device_alone() -> None:
    """The cursor of a server whose clock is a day ahead ends that device, and keeps its cursor."""
    ahead, server, taken = MessageServer(clock_offset=86_400), fleet(3), Taken()
    ahead.append(Row(NOW_MS + 86_000_000, b"x", device="d0"), visible_at_ms=0)
    await taken.walk(ahead, 1)
    refused = taken.cursors["d0"]
    with pytest.raises(DevicesFailedError) as caught:
        await taken.walk(server, 3)
    assert isinstance(caught.value.failures["d0"].error, CursorMismatchError)
    assert caught.value.failures["d0"].cursor == refused
    assert taken.is_whole(server, "d1")
    assert taken.is_whole(server, "d2")


@given(
    rates=st.lists(st.sampled_from([0.0, 0.0, 0.05, 0.3]), min_size=2, max_size=6),
    concurrency=st.sampled_from([1, 2, 8, 32]),
    seed=st.integers(0, 2**16),
)
def test_whatever_fails_nothing_is_lost_or_repeated(
    rates: list[float], concurrency: int, seed: int
) -> None:
    """Resumed from the cursors of their batches as often as some fail, all devices come whole."""

    async def main() -> None:
        chance = random.Random(seed)
        server, taken = fleet(len(rates)), Taken()

        def fail(request: PageRequest, _: int) -> None:
            if chance.random() < rates[int(request.device_id[1:])]:
                raise NotFoundError("now and then", status=404)

        server.before = fail
        for _ in range(200):
            try:
                await taken.walk(server, len(rates), concurrency=concurrency)
            except DevicesFailedError as failed:
                for device_id, failure in failed.failures.items():
                    last = taken.cursors.get(device_id)
                    if failure.cursor is not None and last is not None:
                        assert failure.cursor.count == last.count
            else:
                break
        for device in range(len(rates)):
            assert taken.is_whole(server, f"d{device}")

    run_virtual(main)
