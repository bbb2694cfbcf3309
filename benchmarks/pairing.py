"""Paired measurement: contenders take turns, and each turn gives one ratio.

A shared machine is now fast and now slow. What is measured within one turn is slowed
alike, so ratios are taken per turn and their median is told; absolute times are told
only for orientation, as the least that was seen.
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
    """Seconds that one contender took for one turn."""

    cpu: float
    wall: float

    def by(self, meter: Meter) -> float:
        """The seconds by one of the two."""
        return self.cpu if meter == "cpu" else self.wall


class Race:
    """The samples of all contenders, turn by turn.

    Args:
        cpu: tells the CPU seconds that are measured; by default this process's own.

    Attributes:
        units: what each turn worked through, such as messages; equal for all contenders.
    """

    def __init__(self, cpu: Callable[[], float] = time.process_time) -> None:
        self.units = 0
        self._cpu = cpu
        self._turns: list[dict[str, Sample]] = []

    async def run(self, contenders: Mapping[str, Work], turns: int) -> None:
        """Let each contender work once a turn, in an order that changes.

        Raises:
            RuntimeError: two contenders did not work through as much.
        """
        chance = random.Random(0)
        order = list(contenders)
        for name in order:  # warm: imports, connections, specialised code
            self._agree(name, await contenders[name]())
        for _ in range(turns):
            chance.shuffle(order)
            turn: dict[str, Sample] = {}
            for name in order:
                cpu, wall = self._cpu(), time.perf_counter()
                units = await contenders[name]()
                turn[name] = Sample(self._cpu() - cpu, time.perf_counter() - wall)
                self._agree(name, units)
            self._turns.append(turn)

    def _agree(self, name: str, units: int) -> None:
        self.units = self.units or units
        if units != self.units:
            raise RuntimeError(f"{name} worked through {units}, the others through {self.units}")

    def ratios(self, name: str, base: str, meter: Meter) -> list[float]:
        """Per turn, what `name` took as a multiple of what `base` took."""
        return [turn[name].by(meter) / turn[base].by(meter) for turn in self._turns]

    def figure(
        self, text: str, name: str, base: str, meter: Meter = "cpu", bound: float | None = None
    ) -> Figure:
        """The median of these ratios, with the middle half of them."""
        return _figure(text, self.ratios(name, base, meter), bound, "<=")

    def saving(self, text: str, name: str, base: str, bound: float | None = None) -> Figure:
        """How many times less CPU `name` takes than `base`."""
        ratios = [1 / ratio for ratio in self.ratios(name, base, "cpu")]
        return _figure(text, ratios, bound, ">=")

    def best(self, name: str, meter: Meter) -> float:
        """The least that `name` took a unit, in microseconds."""
        return min(turn[name].by(meter) for turn in self._turns) / self.units * 1e6


def _figure(
    text: str, ratios: list[float], bound: float | None, sense: Literal["<=", ">="]
) -> Figure:
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Figure(text, median(ratios), bound, sense, spread=(low, high))
