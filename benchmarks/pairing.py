"""Paired measurement: contenders run in turns, and each turn gives one ratio.

The speed of a shared machine varies. Contenders that run within one turn are slowed alike,
so each turn gives a ratio, and the figure is the median of the ratios. Absolute times are
shown for orientation only, as the shortest that was measured.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median, quantiles
from typing import Literal, NamedTuple

from .table import Figure

Work = Callable[[], Awaitable[int]]
Meter = Literal["cpu", "wall"]


class Sample(NamedTuple):
    """The seconds that one contender took for one turn, by each meter."""

    cpu: float
    wall: float

    def by(self, meter: Meter) -> float:
        """The seconds by one meter."""
        return self.cpu if meter == "cpu" else self.wall


class Race:
    """Runs contenders in turns and keeps their times.

    Args:
        cpu: A clock of CPU time, in seconds; by default this process's.

    Attributes:
        units: The units of work of a turn, such as messages; equal for all contenders.
    """

    def __init__(self, cpu: Callable[[], float] = time.process_time) -> None:
        self.units = 0
        self._cpu = cpu
        self._turns: list[dict[str, Sample]] = []

    async def run(self, contenders: Mapping[str, Work], turns: int) -> None:
        """Run each contender once a turn, in random order.

        Args:
            contenders: The work of each contender; it returns how many units it did.
            turns: The number of turns, after one that only warms up.

        Raises:
            RuntimeError: Two contenders did different amounts of work.
        """
        chance = random.Random(0)
        order = list(contenders)
        for name in order:  # warm-up: imports, connections, specialised code
            self._check_units(name, await contenders[name]())
        for _ in range(turns):
            chance.shuffle(order)
            turn: dict[str, Sample] = {}
            for name in order:
                cpu, wall = self._cpu(), time.perf_counter()
                units = await contenders[name]()
                turn[name] = Sample(self._cpu() - cpu, time.perf_counter() - wall)
                self._check_units(name, units)
            self._turns.append(turn)

    def _check_units(self, name: str, units: int) -> None:
        self.units = self.units or units
        if units != self.units:
            raise RuntimeError(f"{name} did {units} units of work, the others {self.units}")

    def ratios(self, name: str, base: str, meter: Meter) -> list[float]:
        """The time of `name` divided by the time of `base`, for each turn."""
        return [turn[name].by(meter) / turn[base].by(meter) for turn in self._turns]

    def figure(
        self, text: str, name: str, base: str, meter: Meter = "cpu", bound: float | None = None
    ) -> Figure:
        """The median of the ratios, with their middle half."""
        return _figure(text, self.ratios(name, base, meter), bound, "<=")

    def saving(
        self, text: str, name: str, base: str, bound: float | None = None, meter: Meter = "cpu"
    ) -> Figure:
        """How many times less time `name` takes than `base`, with the middle half."""
        ratios = [1 / ratio for ratio in self.ratios(name, base, meter)]
        return _figure(text, ratios, bound, ">=")

    def best(self, name: str, meter: Meter) -> float:
        """The shortest time of `name` for one unit, in microseconds."""
        return min(turn[name].by(meter) for turn in self._turns) / self.units * 1e6


def _figure(
    text: str, ratios: list[float], bound: float | None, sense: Literal["<=", ">="]
) -> Figure:
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Figure(text, median(ratios), bound, sense, spread=(low, high))
