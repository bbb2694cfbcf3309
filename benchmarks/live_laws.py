"""When the devices of a fleet send: most periodically, some at random, a fifth not at all."""

from __future__ import annotations

import random

from attrs import frozen

PERIODS = ((60.0, 0.05), (300.0, 0.15), (900.0, 0.2), (3600.0, 0.2))
"""Periods in seconds, and the part of the devices that have them."""

HISTORY = 20
"""Messages that each device has sent before following begins."""

_RANDOM = 0.2
_MEAN = 900.0
_JITTER = 0.02


@frozen
class Periodic:
    """A device that sends every `period` seconds, with a deviation of two per cent."""

    period: float
    chance: random.Random

    def __call__(self) -> float:
        return self.period * self.chance.gauss(1.0, _JITTER)


@frozen
class Random:
    """A device that sends at random, every `mean` seconds on average."""

    mean: float
    chance: random.Random

    def __call__(self) -> float:
        return max(self.chance.expovariate(1 / self.mean), 1.0)


Law = Periodic | Random | None
"""Draws the pause between two messages of a device; None for a silent one."""


def laws(devices: int) -> list[Law]:
    """The laws of this many devices."""
    chance = random.Random(11)
    return [_law(chance) for _ in range(devices)]


def _law(chance: random.Random) -> Law:
    part = chance.random()
    for period, share in PERIODS:
        if part < share:
            return Periodic(period, chance)
        part -= share
    if part < _RANDOM:
        return Random(_MEAN * chance.lognormvariate(0.0, 1.0), chance)
    return None
