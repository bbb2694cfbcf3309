"""The history of a fleet, made from a seed: how many messages each device sent, and when.

It contains what a client must be able to handle: a daily rhythm, offline hours and the burst
afterwards, connection events, several messages in one millisecond, identical messages, timestamps
in whole seconds, device clocks that are wrong, and devices of very different sizes, some of them
empty. A device that has disconnected sends nothing until it connects again.
"""

from collections.abc import Iterator
from math import cos, pi
from random import Random

from ..rows import Row, make_row
from ..settings import EmulatorSettings, seeded_random
from ..times import DAY_MS, to_ms
from .devices import Device, Fleet
from .payloads import PROFILES, Draw, connection_event

_EVENT_SHARE = 0.03
_TIE_SHARE = 0.03
_LONG_TIE_SHARE = 0.002
_DUPLICATE_SHARE = 0.01
_WHOLE_SECOND_SHARE = 0.02
_LONGEST_TIE = 6
_TINY = 3
_SLOTS = 1024


def _rhythm() -> tuple[int, ...]:
    """For each of equally likely slots, the millisecond of the day at which it begins."""
    weights = [1.0 - 0.8 * cos(2 * pi * (minute / 1440 - 0.125)) for minute in range(1440)]
    total, reached = sum(weights), 0.0
    slots: list[int] = []
    for minute, weight in enumerate(weights):
        reached += weight / total * _SLOTS
        while len(slots) < min(_SLOTS, int(reached + 1e-9)):
            slots.append(minute * 60_000)
    return tuple(slots)


_RHYTHM = _rhythm()
_SLOT_MS = 60_000


def split_messages(devices: int, messages: int) -> list[int]:
    """How many messages each device sent; the sum is exactly ``messages``.

    The first devices send most. In a fleet of five or more, one device in 25 (at least the last
    one) has no messages, and one in 25 has three at most.
    """
    weights = [(n + 1) ** -0.7 for n in range(devices)]
    varied = range(devices if devices >= 5 else 0)
    tiny = {n for n in varied if n % 25 == 23 or n == devices - 2}
    empty = {n for n in varied if n % 25 == 24 or n == devices - 1}
    counts = [0] * devices
    unassigned = messages
    for n in sorted(tiny - empty):
        counts[n] = min(_TINY, unassigned)
        unassigned -= counts[n]
    ordinary = [n for n in range(devices) if n not in tiny | empty]
    total = sum(weights[n] for n in ordinary)
    for n in ordinary:
        counts[n] = int(unassigned * weights[n] / total)
    for n in ordinary[: unassigned - sum(counts[n] for n in ordinary)]:
        counts[n] += 1
    return counts


def make_history(fleet: Fleet, settings: EmulatorSettings) -> Iterator[Row]:
    """All made-up messages, device by device in order of time, with ascending row numbers."""
    end = to_ms(settings.until)
    begin = end - settings.days * DAY_MS
    next_id = 1
    for device, count in zip(
        fleet.devices, split_messages(len(fleet.devices), settings.messages), strict=True
    ):
        rng = seeded_random(settings.seed, f"history/{device.number}")
        timestamps = _timestamps(rng, count, begin, settings.days)
        yield from _make_rows(device, rng, timestamps, next_id)
        next_id += count


def _timestamps(rng: Random, count: int, begin: int, days: int) -> list[int]:
    draw = rng.random
    offline = _offline_periods(rng, begin, days)
    timestamps = []
    for _ in range(count):
        slot = draw() * _SLOTS
        moment = begin + int(draw() * days) * DAY_MS + _RHYTHM[int(slot)]
        moment += int((slot % 1) * _SLOT_MS)
        for first, last in offline:
            if first <= moment < last:  # the device sends it when it is online again
                moment = last + int(60_000 * draw())
        timestamps.append(moment)
    timestamps.sort()
    _add_ties(rng, timestamps)
    return timestamps


def _offline_periods(rng: Random, begin: int, days: int) -> list[tuple[int, int]]:
    found = []
    for _ in range(1 + days // 10):
        length = int((1 + 11 * rng.random()) * 3_600_000)
        first = begin + int(rng.random() * (days * DAY_MS - length - 60_000))
        found.append((first, first + length))
    return sorted(found)


def _add_ties(rng: Random, timestamps: list[int]) -> None:
    """Move some messages into the millisecond of the one before, and some to whole seconds."""
    tied = 0
    for i in range(1, len(timestamps)):
        chance = rng.random()
        if tied:
            tied -= 1
            timestamps[i] = timestamps[i - 1]
        elif chance < _LONG_TIE_SHARE:
            tied = _LONGEST_TIE - 2
            timestamps[i] = timestamps[i - 1]
        elif chance < _TIE_SHARE:
            timestamps[i] = timestamps[i - 1]
        elif chance > 1 - _WHOLE_SECOND_SHARE:
            timestamps[i] = max(timestamps[i - 1], timestamps[i] // 1000 * 1000)


def _make_rows(device: Device, rng: Random, timestamps: list[int], first_id: int) -> Iterator[Row]:
    """A row for each timestamp; the last connection event agrees with the device's state."""
    draw, payload = rng.random, PROFILES[device.profile]
    drift = int(4000 * (draw() - 0.5)) if device.number % 7 == 3 else 0
    events = _connection_events(draw, len(timestamps), device.connected)
    row: Row | None = None
    for i, moment in enumerate(timestamps):
        if i in events:
            text, kind = connection_event(events[i], device.agent_version), "iottlyagent"
        elif (
            row is not None
            and row.type == "userdefined"
            and moment == row.timestamp
            and draw() < _DUPLICATE_SHARE / _TIE_SHARE
        ):
            row = row._replace(id=first_id + i)
            yield row
            continue
        else:
            text, kind = payload(draw, moment % DAY_MS / DAY_MS), "userdefined"
        sent = moment - 20 - int(900 * draw() ** 3) + drift
        row = make_row(
            device.number, moment, first_id + i, kind, sent, text, channel=device.channel
        )
        yield row


def _connection_events(draw: Draw, count: int, connected: bool) -> dict[int, bool]:
    """Which of ``count`` messages are connection events, and whether each says "connected".

    Nothing lies between a "disconnected" and the "connected" that follows it. A device that is
    disconnected in the end has sent "disconnected" last.
    """
    events: dict[int, bool] = {}
    last = count if connected else count - 1
    i = 0
    while i + 1 < last:
        if draw() < _EVENT_SHARE / 2:
            events[i], events[i + 1] = False, True
            i += 1
        i += 1
    if not connected and count:
        events[count - 1] = False
    return events
