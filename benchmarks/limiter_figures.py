"""What the limiter is to reach: each figure with the results that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from .table import Figure

__all__ = ["ROWS", "Result", "Row"]


class Result(NamedTuple):
    """What became of one client, or of several processes of one kind.

    Attributes:
        wall: wall-clock over ideal.
        refusals: refusals a request.
        share: of the quota, in the windows between the first and the last; None where
            windows are not fixed.
        others: what the other client got of its wish; None where there is none.
        calls: calls to Redis a request.
        seconds: wall-clock.
        admitted: seconds after the beginning.
        refused: the same.
    """

    wall: float
    refusals: float
    share: float | None
    others: float | None
    calls: float
    seconds: float
    admitted: list[float]
    refused: list[float]


class Row(NamedTuple):
    """A figure made of one or two results.

    Attributes:
        name: of the figure.
        of: the scenario and the client.
        value: makes the figure of that result, and of the other one where there is one.
        bound: what it is to reach.
        against: the other one's scenario and client.
        sense: as of `Figure`.
        unit: as of `Figure`.
    """

    name: str
    of: tuple[str, str]
    value: Callable[..., float | None]
    bound: float
    against: tuple[str, str] | None = None
    sense: Literal["<=", ">="] = "<="
    unit: str = "x"

    @property
    def needs(self) -> set[tuple[str, str]]:
        """The results that it is made of."""
        return {self.of} if self.against is None else {self.of, self.against}

    def figure(self, results: Mapping[tuple[str, str], Result]) -> Figure:
        """The figure, with all results at hand."""
        other = () if self.against is None else (results[self.against],)
        value = self.value(results[self.of], *other)
        return Figure(self.name, value or 0.0, self.bound, self.sense, self.unit)


FIXED: Final = ("fixed", "burst")


def _wall(one: Result) -> float:
    return one.wall


def _against(one: Result, other: Result) -> float:
    return one.wall / other.wall


def _none_refused(what: str, scenario: str) -> Row:
    name = f"{what}: refusals a request"
    return Row(name, (scenario, "burst"), lambda one: one.refusals, 0, unit="")


ROWS: Final = (
    _none_refused("fixed window", "fixed"),
    Row("fixed window: share of the quota", FIXED, lambda one: one.share, 0.995, None, ">=", ""),
    Row("fixed window: wall-clock / ideal", FIXED, _wall, 1.05),
    Row("wall-clock / back-off with full jitter", FIXED, _against, 0.45, ("fixed", "backoff")),
    Row("5 s ahead: wall-clock / unskewed", ("5 s ahead", "burst"), _against, 1.03, FIXED),
    _none_refused("5 s ahead", "5 s ahead"),
    Row("5 s behind: wall-clock / unskewed", ("5 s behind", "burst"), _against, 1.03, FIXED),
    _none_refused("5 s behind", "5 s behind"),
    Row(
        "another client, 30 %: refusals a request",
        ("other 30 %", "burst"),
        lambda one: one.refusals,
        0.01,
        unit="",
    ),
    Row(
        "another client: `spread` leaves of its wish",
        ("other 30 %", "spread"),
        lambda one: one.others,
        *(0.75, None, ">=", ""),
    ),
    Row("bucket: wall-clock / ideal", ("bucket", "burst"), _wall, 1.02),
    _none_refused("bucket", "bucket"),
    Row("sliding: wall-clock / ideal", ("sliding", "burst"), _wall, 1.2),
    _none_refused("sliding", "sliding"),
)
