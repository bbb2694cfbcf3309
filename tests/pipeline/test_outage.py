"""The outage circuit: when it opens, who probes, and when all go on."""

from __future__ import annotations

import asyncio
import gc
import weakref
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import ConnectError, Outage, ServerError
from iottly_async.pipeline.outage import CallOutcomes, OutageCircuit, probe_pause, reason_of
from tests.support.virtual_time import WALL_START, VirtualClock, VirtualLoop, settle, virtual

REFUSED = ConnectError("refused", sent="no")
BUSY = ServerError("busy", status=503, sent="yes")


def opened(*calls: CallOutcomes, error: ConnectError | ServerError = REFUSED) -> OutageCircuit:
    """A circuit that three failures of these calls have opened; by default, of three calls."""
    circuit = OutageCircuit(VirtualClock())
    calls = calls or tuple(CallOutcomes() for _ in range(3))
    for number in range(3):
        circuit.failed(calls[number % len(calls)], error)
    return circuit


def now() -> float:
    """Seconds of the virtual loop."""
    return asyncio.get_running_loop().time()


# --- opening and closing ---------------------------------------------------------------------


@virtual
async def test_three_failures_in_a_row_open_it() -> None:
    """After the third failure the service is away, since the first."""
    circuit, call = OutageCircuit(VirtualClock()), CallOutcomes()
    assert circuit.failed(call, REFUSED) is None
    await asyncio.sleep(2)
    assert circuit.failed(call, REFUSED) is None
    assert circuit.outage is None
    assert circuit.may_send(call)
    began = circuit.failed(CallOutcomes(), BUSY)
    since = datetime.fromtimestamp(WALL_START, UTC)
    assert began == Outage(since=since, seconds=2.0, reason="ServerError 503")
    assert circuit.outage == began
    assert not circuit.may_send(call)


@virtual
async def test_a_success_between_starts_the_row_anew() -> None:
    """Two failures, a success and two failures are no outage."""
    circuit, call = OutageCircuit(VirtualClock()), CallOutcomes()
    for _ in range(3):
        circuit.failed(call, REFUSED)
        circuit.failed(CallOutcomes(), REFUSED)
        assert circuit.succeeded(now()) is None
    assert circuit.outage is None


@virtual
async def test_the_first_success_ends_it() -> None:
    """It returns the outage that ended, with its whole length; a second success returns none."""
    circuit = opened()
    await asyncio.sleep(41)
    ended = circuit.succeeded(now())
    assert ended is not None
    assert (ended.seconds, ended.reason) == (41.0, "ConnectError")
    assert circuit.outage is None
    assert circuit.succeeded(now()) is None


@virtual
async def test_an_answer_from_before_the_outage_does_not_end_it() -> None:
    """A request that was sent before the circuit opened says nothing of the service now."""
    before = now()
    await asyncio.sleep(1)
    circuit = opened()
    assert circuit.succeeded(before) is None
    assert circuit.outage is not None


@virtual
async def test_answers_from_before_the_first_failure_do_not_hide_an_outage() -> None:
    """If late answers and failures alternate, the third failure opens it."""
    circuit, before = OutageCircuit(VirtualClock()), now()
    await asyncio.sleep(0.05)
    for _ in range(2):
        assert circuit.failed(CallOutcomes(), REFUSED) is None
        circuit.succeeded(before)
    assert circuit.failed(CallOutcomes(), REFUSED) is not None


@virtual
async def test_a_few_failures_among_many_answers_are_no_outage() -> None:
    """Of a hundred requests at once, twenty that fail do not open it."""
    circuit, before = OutageCircuit(VirtualClock()), now()
    await asyncio.sleep(0.05)
    for number in range(100):
        if number % 5 == 0:
            assert circuit.failed(CallOutcomes(), BUSY) is None
        else:
            circuit.succeeded(before)
    assert circuit.outage is None


# --- probes ----------------------------------------------------------------------------------


@given(st.integers(0, 500), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_by_half_up_to_fifteen_seconds(failures: int, drawn: float) -> None:
    """Each pause is within a tenth of its length, and none is longer than 15 s."""
    pause = probe_pause(failures, lambda: drawn)
    length = 0.5 * 1.5 ** min(failures, 30)
    assert min(length * 0.9, 13.5) - 1e-9 <= pause <= min(length * 1.1, 15.0) + 1e-9


@virtual
async def test_one_call_at_a_time_probes() -> None:
    """The first that waits probes; if it fails, the next one does, and it waits behind all."""
    circuit, calls = opened(), [CallOutcomes() for _ in range(4)]
    order: list[tuple[int, float]] = []

    async def probe(number: int) -> None:
        for _ in range(2):
            await circuit.wait(calls[number])
            order.append((number, now()))
            await asyncio.sleep(0.01)
            circuit.failed(calls[number], REFUSED)

    begun = now()
    tasks = [asyncio.create_task(probe(number)) for number in range(4)]
    await asyncio.gather(*tasks)
    assert [number for number, _ in order] == [0, 1, 2, 3] * 2
    pauses = [later - earlier for earlier, later in pairwise([begun, *(at for _, at in order)])]
    expected = [0.5 * 1.5**number for number in range(8)]
    assert pauses == pytest.approx(expected, rel=0.13)


@virtual
async def test_a_success_wakes_all_at_once() -> None:
    """As soon as any call succeeds, all that wait go on; none has to probe first."""
    circuit = opened()
    waits = [asyncio.create_task(circuit.wait(CallOutcomes())) for _ in range(100)]
    await settle()
    assert circuit.waiting == 100
    await asyncio.sleep(0.1)
    circuit.succeeded(now())
    before = now()
    assert await asyncio.gather(*waits) == [True] * 100
    assert now() == before
    assert circuit.waiting == 0


@virtual
async def test_what_the_service_asks_for_delays_the_probe() -> None:
    """A Retry-After is waited for, but no longer than 60 s."""
    for asked, expected in ((7.0, 7.0), (5000.0, 60.0), (0.1, 0.5)):
        busy = ServerError("busy", status=503, retry_after=asked, sent="yes")
        circuit, before = opened(error=busy), now()
        assert circuit.probe_in() == pytest.approx(expected, rel=0.1)
        await circuit.wait(CallOutcomes())
        assert now() - before == pytest.approx(expected, rel=0.1)


@virtual
async def test_a_wait_ends_when_patience_does() -> None:
    """A call whose seconds are over is told so, and holds up no other."""
    circuit = opened(error=ServerError(status=503, retry_after=30.0, sent="yes"))
    before = now()
    other = asyncio.create_task(circuit.wait(CallOutcomes()))
    assert await circuit.wait(CallOutcomes(), 10.0) is False
    assert now() - before == pytest.approx(10.0)
    assert circuit.waiting == 1
    assert await other
    assert now() - before == pytest.approx(30.0)


@virtual
async def test_patience_may_end_as_the_call_becomes_the_probe() -> None:
    """A call that becomes the probe in the moment its seconds are over is the probe."""
    circuit, call = opened(), CallOutcomes()
    assert await circuit.wait(call, circuit.probe_in())
    assert circuit.may_send(call)


@virtual
async def test_a_cancelled_probe_hands_over_to_the_next() -> None:
    """If the probe is cancelled, before it is sent or while it is under way, the next one goes."""
    circuit, first, second = opened(), CallOutcomes(), CallOutcomes()
    probe = asyncio.create_task(circuit.wait(first))
    other = asyncio.create_task(circuit.wait(second))
    await probe
    circuit.leave(first)  # it was under way
    before = now()
    assert await other
    assert now() == before
    assert circuit.may_send(second)


@virtual
async def test_a_waiter_that_is_cancelled_as_it_becomes_the_probe_hands_over() -> None:
    """No moment of a cancellation loses the probe."""
    circuit, second = opened(), CallOutcomes()
    first = asyncio.create_task(circuit.wait(CallOutcomes()))
    other = asyncio.create_task(circuit.wait(second))
    await settle()
    asyncio.get_running_loop().call_later(circuit.probe_in(), first.cancel)
    assert await other
    assert first.cancelled()
    assert circuit.may_send(second)


@virtual
async def test_without_waiters_the_next_call_probes_as_soon_as_it_comes() -> None:
    """A pause that passed while nobody waited is not waited for again."""
    circuit = opened()
    await asyncio.sleep(100)
    before = now()
    assert await circuit.wait(CallOutcomes())
    assert now() == before


# --- a request that always fails --------------------------------------------------------------


@virtual
async def test_failures_of_one_call_alone_do_not_hold_up_another() -> None:
    """If one call alone has opened it, another is sent at once, and shows more."""
    poison, other = CallOutcomes(), CallOutcomes()
    circuit = opened(poison)
    before = now()
    assert await circuit.wait(poison)
    assert now() > before  # the call itself has to pause
    circuit.failed(poison, BUSY)
    again = asyncio.create_task(circuit.wait(poison))
    await settle()
    before = now()
    assert await circuit.wait(other)
    assert now() == before
    circuit.failed(other, BUSY)
    assert await again
    assert now() > before  # several calls fail: it is an outage


@virtual
async def test_a_call_that_fails_while_others_succeed_opens_it_no_more() -> None:
    """After it failed three times between successes of others, its failures do not count."""
    circuit, poison = OutageCircuit(VirtualClock()), CallOutcomes()
    for _ in range(4):
        circuit.failed(poison, BUSY)
        circuit.succeeded(now())
    assert poison.fails_alone
    for _ in range(10):
        assert circuit.failed(poison, BUSY) is None
    for _ in range(2):
        assert circuit.failed(CallOutcomes(), BUSY) is None
    assert circuit.failed(CallOutcomes(), BUSY) is not None  # the others open it


# --- the loop --------------------------------------------------------------------------------


def test_a_loop_that_ends_with_waiters_leaves_nothing_behind() -> None:
    """A circuit whose loop was closed is collected with its waiters, and without an error."""
    loop = VirtualLoop()

    async def use(circuit: OutageCircuit, call: CallOutcomes) -> None:
        try:
            await circuit.wait(call)
            await asyncio.get_running_loop().create_future()
        finally:
            circuit.leave(call)

    async def begin() -> weakref.ref[OutageCircuit]:
        circuit, probe = opened(), CallOutcomes()
        for call in (probe, CallOutcomes()):
            task = loop.create_task(use(circuit, call))
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(1)  # one of them is the probe by now
        assert circuit.may_send(probe)
        return weakref.ref(circuit)

    circuit = loop.run_until_complete(begin())
    loop.close()
    gc.collect()
    assert circuit() is None


def test_a_reason_is_a_class_and_a_status() -> None:
    """It holds nothing of the service's own text."""
    assert reason_of(REFUSED) == "ConnectError"
    assert reason_of(ServerError("the device of Alice", status=502)) == "ServerError 502"
