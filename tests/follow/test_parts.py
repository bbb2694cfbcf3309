"""The parts of streams and followers that decide, without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import (
    ConnectError,
    DecodeError,
    DefaultStreamProtocol,
    DeviceOfflineError,
    ForbiddenError,
    Gap,
    IottlyError,
    Message,
    Quota,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    UnauthorizedError,
)
from iottly_async.follow.pace import Pace
from iottly_async.follow.traffic import Traffic
from iottly_async.follow.wakeups import WakeUps
from iottly_async.retry import delay, is_passing
from iottly_async.stream.buffer import BufferedGap, MessageBuffer
from iottly_async.stream.protocol import Accepted, Heartbeat, MessageFrame, Refused, Subscription
from iottly_async.stream.reorder import MissingMessages, ReorderBuffer
from tests.support.virtual_time import virtual

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(number: int) -> Message:
    """A message of the so-many-th second after noon."""
    return Message(device_id="d", timestamp=NOON + timedelta(seconds=number))


def seconds(found: list[Message | MissingMessages]) -> list[Any]:
    """Numbers of messages, and how many were lost."""
    return [
        ("lost", each.count)
        if isinstance(each, MissingMessages)
        else (each.timestamp - NOON).seconds
        for each in found
    ]


# -- sequence --------------------------------------------------------------------------------------


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)))
def test_whatever_the_order_each_comes_once_or_is_lost(order: list[int], gone: set[int]) -> None:
    """Messages come in order, and with what is reported lost they are all there were."""
    sequence = ReorderBuffer(patience=1.0)
    sequence.begin(0)
    found: list[Any] = []
    for number in order:
        if number not in gone:
            found += seconds(sequence.take(message(number), number, 0.0))
    sequence.beat(8, 0.0)
    while sequence.deadline is not None:
        found += seconds(sequence.give_up(1.0))
    numbers = [each for each in found if isinstance(each, int)]
    lost = sum(each[1] for each in found if not isinstance(each, int))
    assert numbers == sorted(set(range(1, 9)) - gone)
    assert lost == len(gone)


def test_a_number_is_waited_for_from_when_it_was_missed() -> None:
    """The deadline is that of the oldest hole, and moves when one is filled."""
    sequence = ReorderBuffer(patience=1.0)
    sequence.begin(0)
    sequence.take(message(2), 2, 10.0)
    sequence.take(message(4), 4, 10.5)
    assert sequence.deadline == 11.0
    assert seconds(sequence.take(message(1), 1, 10.7)) == [1, 2]
    assert sequence.deadline == 11.7
    assert seconds(sequence.take(message(3), 3, 10.8)) == [3, 4]
    assert sequence.deadline is None


def test_what_comes_twice_or_too_late_is_dropped() -> None:
    """A number that was handed on or given up is not handed on again."""
    sequence = ReorderBuffer(patience=1.0)
    sequence.begin(0)
    assert seconds(sequence.take(message(1), 1, 0.0)) == [1]
    assert sequence.take(message(1), 1, 0.0) == []
    sequence.take(message(3), 3, 0.0)
    assert seconds(sequence.give_up(1.0)) == [("lost", 1), 3]
    assert sequence.take(message(2), 2, 1.0) == []


def test_without_numbers_messages_pass() -> None:
    """A protocol that does not number its messages is taken at its word."""
    sequence = ReorderBuffer(patience=1.0)
    sequence.begin(None)
    assert seconds(sequence.take(message(1), None, 0.0)) == [1]
    assert sequence.deadline is None


# -- buffer ----------------------------------------------------------------------------------------


def gap(start: int, end: int, missed: int | None = None) -> BufferedGap:
    """A gap between two seconds after noon."""
    low, high = NOON + timedelta(seconds=start), NOON + timedelta(seconds=end)
    return BufferedGap(Gap(start=low, end=high, reason="reconnect", missed=missed), 0.0)


@virtual
async def test_gaps_that_follow_each_other_are_one() -> None:
    """Two gaps without a message between them join; with one they stay two."""
    buffer = MessageBuffer(5, "wait")
    buffer.put_hole(gap(1, 2))
    buffer.put_hole(gap(2, 5))
    await buffer.put(message(6), 0.0)
    buffer.put_hole(gap(6, 7))
    entries = [await buffer.get() for _ in range(3)]
    holes = [entry.gap for entry in entries if isinstance(entry, BufferedGap)]
    assert [(each.start, each.end) for each in holes] == [
        (NOON + timedelta(seconds=1), NOON + timedelta(seconds=5)),
        (NOON + timedelta(seconds=6), NOON + timedelta(seconds=7)),
    ]


@virtual
async def test_a_gap_before_dropped_messages_joins_theirs() -> None:
    """The bounds of what was dropped reach over an older gap; how many is then not known."""
    buffer = MessageBuffer(1, "drop_oldest")
    buffer.put_hole(gap(1, 2))
    for number in (3, 4, 5):
        await buffer.put(message(number), 0.0)
    hole, last = await buffer.get(), await buffer.get()
    assert isinstance(hole, BufferedGap)
    assert (hole.gap.start, hole.gap.end) == (
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=4),
    )
    assert hole.gap.missed is None
    assert last == message(5)


# -- reconnecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (ConnectError(), True),
        (ServerError(status=503), True),
        (RateLimitedError(status=429), True),
        (RateLimitedError(), True),
        (UnauthorizedError(status=401), False),
        (ForbiddenError(status=403), False),
        (DecodeError(), False),
    ],
)
def test_what_may_pass(error: IottlyError, passing: bool) -> None:
    """Only what another try may mend is tried again."""
    assert is_passing(error) is passing


def test_delays() -> None:
    """The bound doubles up to the longest; chance and what the service asks for are added."""
    policy = RetryPolicy(initial_delay=0.2, max_delay=10)
    assert [delay(n, policy, 1.0) for n in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10]
    assert delay(5000, policy, 0.5) == 5
    assert delay(0, policy, 0.0) == 0
    assert delay(0, policy, 0.5, retry_after=7) == pytest.approx(7.1)


# -- protocol --------------------------------------------------------------------------------------


def test_what_is_sent() -> None:
    """Hello, subscription and command are as documented."""
    protocol = DefaultStreamProtocol()
    assert protocol.hello() == '{"type":"hello","version":1}'
    assert protocol.subscribe(Subscription(devices=("a",))) == (
        '{"type":"subscribe","devices":["a"],"messages":"all"}'
    )
    assert protocol.command("c1", "dev_1", "uptime", 10.0) == (
        '{"type":"command","ref":"c1","device":"dev_1","command":"uptime","timeout_s":10}'
    )


def test_what_is_read() -> None:
    """Frames become values; a kind that is not known is passed over."""
    protocol = DefaultStreamProtocol()
    found = protocol.read(
        '{"type":"message","seq":3,"message":{"from":"d","timestamp":"2026-03-01T12:00:01",'
        '"payload":{"a":1}}}'
    )
    assert isinstance(found, MessageFrame)
    assert (found.seq, found.message.timestamp) == (3, message(1).timestamp)
    assert found.message.payload_json == b'{"a":1}'
    beat = protocol.read(b'{"type":"heartbeat","seq":3,"at":"2026-03-01T12:00:00.000Z"}')
    assert beat == Heartbeat(seq=3, at=NOON)
    accepted = protocol.read('{"type":"accepted","ref":"c1","command_id":"cmd_1","status":"p"}')
    assert accepted == Accepted(ref="c1", command_id="cmd_1")
    assert protocol.read('{"type":"news"}') is None
    refused = protocol.read(
        '{"type":"error","ref":"c1","status":409,"error":{"code":"device_offline","message":"m",'
        '"request_id":"req_1"}}'
    )
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, DeviceOfflineError)
    assert refused.error.request_id == "req_1"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"type":1}', '{"type":"message","seq":1}', "[" * 5000, '{"type":"x"}x'],
)
def test_what_is_no_frame(text: str) -> None:
    """A frame that is not as it should be is a `DecodeError`, of no other kind."""
    with pytest.raises(DecodeError):
        DefaultStreamProtocol().read(text)


def test_final_codes() -> None:
    """4401 and 4403 are final, and no other code."""
    protocol = DefaultStreamProtocol()
    assert isinstance(protocol.final(4401), UnauthorizedError)
    assert isinstance(protocol.final(4403), ForbiddenError)
    assert [protocol.final(code) for code in (1000, 1006, 1008, 1009, 1012, 4400)] == [None] * 6


# -- traffic ---------------------------------------------------------------------------------------


def test_a_regular_sender_is_looked_at_after_its_time() -> None:
    """Every five minutes: the next look is a goal after the next message is due."""
    traffic = Traffic(0.0, 1.0)
    traffic.sent(300.0 * n for n in range(1, 6))
    traffic.seen_until = 1501.0
    assert traffic.due(2.0) == 1802.0


def test_a_busy_sender_is_looked_at_soon() -> None:
    """Ten messages a second: the next look is due within the goal, whatever was before."""
    traffic = Traffic(0.0, 1.0)
    traffic.sent([300.0, 600.0, *(900.0 + n / 10 for n in range(100))])
    traffic.seen_until = 910.0
    assert traffic.due(1.0) == 911.0


def test_a_burst_does_not_hide_the_rhythm() -> None:
    """Three messages at once every five minutes: after a second of silence, only those count."""
    traffic = Traffic(0.0, 1.0)
    for n in range(1, 20):
        traffic.sent([300.0 * n, 300.0 * n + 0.1, 300.0 * n + 0.2])
    traffic.seen_until = 5703.0
    assert traffic.due(1.0) == pytest.approx(6001.0, abs=0.5)


def test_what_is_overdue_is_doubled() -> None:
    """A device silent for longer than ever is looked at after as long as it is overdue."""
    traffic = Traffic(0.0, 1.0)
    traffic.sent([0.0, 10.0, 20.0])
    traffic.seen_until = 31.0
    assert traffic.due(1.0) == 32.0
    traffic.seen_until = 130.0
    assert traffic.due(1.0) == 230.0


def test_rhythms() -> None:
    """A steady sender, one at random, one that ceased, and one that never began."""
    steady, random, gone = (Traffic(0.0, 1.0) for _ in range(3))
    steady.sent(10.0 * n for n in range(9))
    random.sent(float(n * n) for n in range(2, 11))
    gone.sent(10.0 * n for n in range(9))
    gone.seen_until = 200.0
    rhythms = [each.rhythm for each in (steady, random, gone, Traffic(0.0, 1.0))]
    assert rhythms == ["steady", "unknown", "none", "none"]


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=16), st.floats(0.1, 100.0))
def test_due_is_where_the_mean_age_reaches_the_goal(gaps: list[float], goal: float) -> None:
    """At the moment that is given, the mean of max(0, time - gap) is the goal."""
    traffic = Traffic(0.0, 1.0)
    at = 0.0
    traffic.sent([at])
    for each in gaps:
        at += each
        traffic.sent([at])
    traffic.seen_until = at
    age = sum(max(0.0, traffic.due(goal) - at - each) for each in gaps) / len(gaps)
    assert age == pytest.approx(goal, rel=1e-3, abs=1e-3)


# -- pace ------------------------------------------------------------------------------------------


def quota(remaining: int, resets_in: float, limit: int = 600) -> Quota:
    """What is left, at noon."""
    return Quota(
        limit=limit,
        remaining=remaining,
        resets_at=NOON + timedelta(seconds=resets_in),
        waiting=0,
        in_flight=0,
        refusals=0,
        source="server",
    )


def test_what_is_left_is_spread_over_the_window() -> None:
    """A tenth of the quota kept back, the rest lasts until the window ends."""
    pace = Pace(0.9)
    pace.spent(100.0)
    assert pace.next_at(quota(360, 30.0), 100.0, NOON.timestamp()) == pytest.approx(100.1)
    assert pace.next_at(quota(60, 30.0), 100.0, NOON.timestamp()) == pytest.approx(130.0)
    assert pace.round(quota(0, 60.0), 2000) == pytest.approx(2000 * 30 / 540)


def test_without_a_limit_there_is_no_pace() -> None:
    """Where nothing is known of a quota, requests go at once."""
    unknown = Quota(
        limit=None,
        remaining=None,
        resets_at=None,
        waiting=0,
        in_flight=0,
        refusals=0,
        source="unknown",
    )
    pace = Pace(0.5)
    pace.spent(5.0)
    assert pace.next_at(unknown, 5.0, 0.0) == 5.0
    assert pace.round(unknown, 100) == 0.0


# -- rings -----------------------------------------------------------------------------------------


def test_a_bell_that_never_stops_puts_nothing_off() -> None:
    """The first ring's look stays where it was, however many follow."""
    rings = WakeUps(4.0)
    for n in range(100):
        rings.ring(1.0 + n / 10)
    assert rings.due == 5.0
    rings.begin(5.0)
    assert rings.due == 5.5


def test_without_settle_a_ring_is_due_at_once() -> None:
    """WakeUps during a look are one look more."""
    rings = WakeUps(0.0)
    rings.ring(1.0)
    rings.begin(1.0)
    rings.ring(1.1)
    rings.ring(1.2)
    assert rings.due == 1.2
    rings.begin(1.3)
    assert rings.due is None


def test_a_look_that_brought_a_message_a_ring_is_not_made_again() -> None:
    """Two rings, one message: another look; with the second, only that of a ring meanwhile."""
    rings = WakeUps(0.0)
    rings.ring(1.0)
    rings.ring(1.0)
    rings.begin(1.0)
    rings.ended(1.1, doubt=0.5, brought=1, newest=0.99)
    assert rings.due == pytest.approx(1.11)
    rings.begin(1.11)
    rings.ring(1.12)
    rings.ended(1.2, doubt=0.5, brought=2, newest=1.0)
    assert rings.due == 1.12
    rings.begin(1.2)
    rings.ended(1.3, doubt=0.5, brought=1, newest=1.11)
    assert rings.due is None


def test_a_look_that_brought_an_older_message_is_made_again() -> None:
    """One that nobody rang for does not answer the ring of the next."""
    rings = WakeUps(0.0)
    rings.ring(9.0)
    rings.begin(9.0)
    rings.ended(9.1, doubt=0.5, brought=1, newest=2.0)
    assert rings.due == pytest.approx(9.11)


def test_a_look_that_may_have_stopped_short_is_made_again() -> None:
    """Until a look began surely after the ring, others follow; a few, and then no more."""
    rings = WakeUps(0.0)
    rings.ring(1.0)
    found: list[float | None] = []
    now = 1.0
    for _ in range(3):
        rings.begin(now)
        rings.ended(now, doubt=0.05)
        found.append(rings.due)
        now = rings.due or now
    assert found[:2] == pytest.approx([1.01, 1.11])
    assert found[2] is None
    rings.ring(9.0)
    for _ in range(5):
        rings.begin(9.0)
        rings.ended(9.0, doubt=0.05)
    assert rings.due is None
