"""The figures of real servers with two-second windows, and their bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from .table import Figure

__all__ = ["ROWS", "Result", "Row"]


class Result(NamedTuple):
    """The result of one client, or of several processes of one kind.

    Attributes:
        wall: Seconds over the least seconds that the quota allows.
        refusals: Refusals a request.
        share: The share of the quota that was used in the windows between the first and the
            last; None if windows are not fixed.
        others: The share of its wish that the other client got; None if there is none.
        calls: Calls to Redis a request.
        seconds: Seconds in all.
        admitted: When requests were admitted, in seconds after the beginning.
        refused: When requests were refused, in seconds after the beginning.
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
    """A figure computed from one or two results.

    Attributes:
        name: The name of the figure.
        of: The scenario and the client.
        value: Computes the figure from that result, and from the second if there is one.
        bound: The value to reach.
        against: The scenario and the client of the second result; None for one result.
        sense: As of `Figure`.
        unit: As of `Figure`.
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
        """The results that the figure needs."""
        return {self.of} if self.against is None else {self.of, self.against}

    def figure(self, results: Mapping[tuple[str, str], Result]) -> Figure:
        """Compute the figure from the results."""
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
    _none_refused("2 s, fixed window", "fixed"),
    Row(
        "2 s, fixed window: share of the quota", FIXED, lambda one: one.share, 0.995, None, ">=", ""
    ),
    Row("2 s, fixed window: wall-clock / ideal", FIXED, _wall, 1.2),
    Row("2 s, wall-clock / back-off with full jitter", FIXED, _against, 0.45, ("fixed", "backoff")),
    Row("2 s, clock 5 s ahead: wall-clock / ideal", ("5 s ahead", "burst"), _wall, 1.2),
    _none_refused("2 s, clock 5 s ahead", "5 s ahead"),
    Row("2 s, clock 5 s behind: wall-clock / ideal", ("5 s behind", "burst"), _wall, 1.2),
    _none_refused("2 s, clock 5 s behind", "5 s behind"),
    Row(
        "2 s, another client, 30 %: refusals a request",
        ("other 30 %", "burst"),
        lambda one: one.refusals,
        0.01,
        unit="",
    ),
    Row(
        "2 s, another client: `spread` leaves of its wish",
        ("other 30 %", "spread"),
        lambda one: one.others,
        *(0.75, None, ">=", ""),
    ),
    Row("2 s, token bucket: wall-clock / ideal", ("bucket", "burst"), _wall, 1.05),
    _none_refused("2 s, token bucket", "bucket"),
    Row("2 s, sliding log: wall-clock / ideal", ("sliding", "burst"), _wall, 1.6),
    _none_refused("2 s, sliding log", "sliding"),
)
