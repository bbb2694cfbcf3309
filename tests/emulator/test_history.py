"""The history that a seed makes: always the same, with everything a client must handle."""

import hashlib
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from iottly_async.emulator import REFERENCE_END, Emulator, EmulatorSettings
from iottly_async.emulator.fleet.devices import make_fleet
from iottly_async.emulator.fleet.history import make_history, split_messages
from iottly_async.emulator.rows import Row


def rows(**options: int) -> list[Row]:
    """The seeded rows of a fleet."""
    settings = EmulatorSettings(**options)  # type: ignore[arg-type]
    fleet = make_fleet(settings.seed, settings.project_id, count=settings.devices)
    return list(make_history(fleet, settings))


@pytest.fixture(scope="module")
def history() -> list[Row]:
    """Twenty devices with 20,000 messages."""
    return rows(devices=20, messages=20_000)


def test_the_same_bytes(history: list[Row]) -> None:
    """A seed gives the same bytes on every machine and day; they change only on purpose."""
    digest = hashlib.sha256("\n".join(map(repr, rows(devices=5, messages=500))).encode())
    assert digest.hexdigest()[:16] == "ace78852328d904d"
    assert rows(devices=20, messages=20_000) == history


def test_another_seed() -> None:
    """Another seed gives other devices and other messages."""
    fleets = [make_fleet(seed, "p", count=3) for seed in (1, 2)]
    assert not {d.id for d in fleets[0].devices} & {d.id for d in fleets[1].devices}
    assert rows(devices=2, messages=50, seed=1) != rows(devices=2, messages=50, seed=2)


@pytest.mark.parametrize(
    ("devices", "messages"), [(1, 0), (1, 7), (3, 500), (5, 2), (5, 300), (20, 100_000), (60, 999)]
)
def test_exactly_as_many_as_asked_for(devices: int, messages: int) -> None:
    """The messages of all devices add up to the number in the settings."""
    counts = split_messages(devices, messages)
    assert (len(counts), sum(counts)) == (devices, messages)
    assert min(counts) >= 0


def test_sizes_differ(history: list[Row]) -> None:
    """Of five or more devices one is empty, one has three messages, and the first has most."""
    counts = Counter(row.device for row in history)
    assert counts[19] == 0
    assert counts[18] == 3
    assert counts[0] == max(counts.values()) > 5 * counts[17]


def test_the_range(history: list[Row]) -> None:
    """All messages lie within the days before the fixed end."""
    end = int(REFERENCE_END.timestamp() * 1000)
    assert all(end - 30 * 86_400_000 <= row.timestamp < end for row in history)
    assert max(row.timestamp for row in history) > end - 3_600_000


def test_rows_are_in_order(history: list[Row]) -> None:
    """A device's rows ascend in time, and row numbers count all rows."""
    assert [row.id for row in history] == list(range(1, 20_001))
    for row, following in pairwise(history):
        assert (row.device, row.timestamp) <= (following.device, following.timestamp)


def test_ties(history: list[Row]) -> None:
    """Several messages share a millisecond, in some groups more than two."""
    groups = Counter(Counter((row.device, row.timestamp) for row in history).values())
    assert groups[2] > 100
    assert sum(number for size, number in groups.items() if size > 3) > 3


def test_duplicates(history: list[Row]) -> None:
    """Some messages are identical except for their row number."""
    duplicates = [a for a, b in pairwise(history) if a._replace(id=0) == b._replace(id=0)]
    assert len(duplicates) > 20


def test_whole_seconds(history: list[Row]) -> None:
    """Some timestamps have no fraction."""
    assert sum(row.timestamp % 1000 == 0 for row in history) > 100


def test_a_daily_rhythm(history: list[Row]) -> None:
    """There are more messages by day than by night."""
    hours = Counter(row.timestamp // 3_600_000 % 24 for row in history)
    assert hours[15] > 3 * hours[3]


def test_gaps_and_bursts(history: list[Row]) -> None:
    """A device is silent for an hour or more, and then sends a burst."""
    moments = [row.timestamp for row in history if row.device == 0]
    gaps = [n for n, (a, b) in enumerate(pairwise(moments)) if b - a > 3_600_000]
    assert gaps
    usual = (moments[-1] - moments[0]) / len(moments)
    assert any(moments[n + 6] - moments[n + 1] < usual for n in gaps if n + 6 < len(moments))


def test_the_last_event_agrees_with_the_state(history: list[Row]) -> None:
    """A device whose last event is a disconnection is disconnected."""
    fleet = make_fleet(1, "p", count=20)
    last = {row.device: row.payload_json for row in history if row.type == "iottlyagent"}
    assert len(last) > 15
    for number, payload in last.items():
        assert ('"connected"' in payload) == fleet.devices[number].connected


def test_a_disconnected_device_sends_nothing(history: list[Row]) -> None:
    """Between "disconnected" and "connected", and after a last "disconnected", nothing is sent."""
    for row, following in pairwise(history):
        if row.type == "iottlyagent" and '"disconnected"' in row.payload_json:
            next_event = following.type == "iottlyagent" and '"connected"' in following.payload_json
            assert next_event or following.device != row.device
    assert sum(row.type == "iottlyagent" for row in history) > 400


async def test_a_walk_without_bounds_finds_all(emulator: Emulator) -> None:
    """The history lies in the past of the server's clock."""
    newest = max(
        message["timestamp"]
        for device in emulator.device_ids
        for message in emulator.stored(device)
    )
    assert newest < REFERENCE_END < emulator.clock.now() - timedelta(days=1)
