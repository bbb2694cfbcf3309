"""Figures, and the table that shows them beside the bounds they are to reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """One measured figure.

    Attributes:
        name: what was measured, and against what.
        value: as measured; of paired ratios the median.
        bound: what it is to reach; None where it is only told.
        sense: whether the bound is the most or the least.
        unit: behind the value: "x" for a ratio.
        spread: the middle half of the paired ratios; None where there is one measurement.
    """

    name: str
    value: float
    bound: float | None = None
    sense: Literal["<=", ">="] = "<="
    unit: str = "x"
    spread: tuple[float, float] | None = None

    @property
    def reached(self) -> bool:
        """Whether it reaches its bound, or has none."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.sense == "<=" else self.value >= self.bound


def show(figures: Sequence[Figure]) -> None:
    """Print the table; a figure that misses its bound is marked."""
    width = max(len(figure.name) for figure in figures)
    print(f"{'figure':<{width}}  {'measured':>12}  {'middle half':>15}  {'to reach':>10}")
    for figure in figures:
        value = f"{figure.value:.2f} {figure.unit}"
        spread = "" if figure.spread is None else "{:.2f} to {:.2f}".format(*figure.spread)
        bound = "" if figure.bound is None else f"{figure.sense} {figure.bound:g}"
        miss = "" if figure.reached else "  missed"
        print(f"{figure.name:<{width}}  {value:>12}  {spread:>15}  {bound:>10}{miss}")
