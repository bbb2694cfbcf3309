"""The rows of the benchmarks' table: figures beside their bounds, and parts that cannot run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

_OURS: Final = ("benchmarks", "iottly_async", "tests")
_WIDTH: Final = 68  # characters of a row's name; a longer name moves its row's other columns


def _columns(name: str, value: str, spread: str, bound: str) -> str:
    return f"{name:<{_WIDTH}}  {value:>12}  {spread:>15}  {bound:>10}".rstrip()


HEADER: Final = _columns("figure", "measured", "middle half", "to reach")


class Figure(NamedTuple):
    """One measured figure.

    Attributes:
        name: What was measured, and against what.
        value: The measured value; of paired ratios the median.
        bound: The value to reach; None if there is no bound.
        sense: Whether the bound is the most ("<=") or the least (">=").
        unit: The unit of the value; "x" is a ratio.
        spread: The middle half of the paired ratios; None for a single measurement.
        digits: The digits of the value behind the point.
    """

    name: str
    value: float
    bound: float | None = None
    sense: Literal["<=", ">="] = "<="
    unit: str = "x"
    spread: tuple[float, float] | None = None
    digits: int = 2

    @property
    def reached(self) -> bool:
        """Whether the value reaches its bound, or has none."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.sense == "<=" else self.value >= self.bound

    def row(self) -> str:
        """The figure as a row of the table; a missed bound is marked."""
        value = f"{self.value:.{self.digits}f} {self.unit}"
        spread = "" if self.spread is None else "{:.2f} to {:.2f}".format(*self.spread)
        bound = "" if self.bound is None else f"{self.sense} {self.bound:g}"
        missed = "" if self.reached else "  missed"
        return _columns(self.name, value, spread, bound) + missed


class NotRun(NamedTuple):
    """A benchmark, or a part of one, that cannot run here.

    Attributes:
        name: The name of the benchmark or part.
        reason: What is missing.
    """

    name: str
    reason: str

    def row(self) -> str:
        """The reason as a row of the table."""
        return f"{self.name:<{_WIDTH}}  cannot run: {self.reason}"


Row = Figure | NotRun


def run_parts(parts: Mapping[str, Callable[[], Iterable[Row]]]) -> Iterator[Row]:
    """Run parts one after the other.

    Args:
        parts: The parts by name.

    Yields:
        The rows of each part; for a part that needs a package or a server that is not
        installed, a row that says so.
    """
    for name, part in parts.items():
        try:
            yield from part()
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in _OURS:
                raise
            yield NotRun(name, error.msg)
