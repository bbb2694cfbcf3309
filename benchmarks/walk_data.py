"""Streams of messages to walk over: their times, in milliseconds, in one year."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_left
from typing import Final, TypeAlias

YEAR: Final = 365 * 86_400_000
EPOCH: Final = 1_735_689_600_000
"""2025-01-01T00:00:00Z; the streams end a year later."""

Times: TypeAlias = "array[int]"


def even(rows: int, seed: int = 0) -> Times:
    """Spread `rows` messages at random over the year; hardly any share a millisecond."""
    chance = random.Random(seed)
    return array("q", sorted(EPOCH + chance.randrange(YEAR) for _ in range(rows)))


def tied(rows: int, most: int = 5, seed: int = 0) -> Times:
    """Spread groups of 1 to `most` messages that share a millisecond over the year."""
    chance = random.Random(seed)
    return _batched(
        [EPOCH + chance.randrange(YEAR) for _ in range(2 * rows // (most + 1))], most, chance
    )


def bursty(rows: int, seed: int = 0) -> Times:
    """Make sixty bursts of a minute to six hours with empty months between them.

    One millisecond holds 5,000 messages.
    """
    chance = random.Random(seed)
    weights = [chance.paretovariate(1.2) - 0.9 for _ in range(60)]
    events: list[int] = []
    for weight in weights:
        month = chance.choice([0, 1, 4, 5, 6, 11])
        start = EPOCH + int((month + chance.random()) * YEAR / 12)
        length = chance.choice([60_000, 600_000, 3_600_000, 21_600_000])
        share = max(1, int(rows * weight / sum(weights) / 3))
        events += [start + chance.randrange(length) for _ in range(share)]
    times = _batched([at for at in events if at < EPOCH + YEAR], 5, chance)
    middle = times[len(times) // 2]
    place = bisect_left(times, middle)
    return times[:place] + array("q", [middle] * 5000) + times[place:]


def fleet(devices: int, rows: int, seed: int = 7) -> dict[str, Times]:
    """Make devices of very different sizes; 15 % of them have no message."""
    chance = random.Random(seed)
    weights = [1 / rank**1.05 for rank in range(1, devices + 1)]
    sizes = [int(rows * weight / sum(weights)) for weight in weights]
    chance.shuffle(sizes)
    return {
        f"device-{number:04}": even(0 if chance.random() < 0.15 else size, seed=number)
        for number, size in enumerate(sizes)
    }


def _batched(events: list[int], most: int, chance: random.Random) -> Times:
    times = array("q")
    for at in sorted(events):
        times.extend([at] * chance.randint(1, most))
    return times
