"""From where a window asks, and what the answers tell it about that."""

from typing import NamedTuple

import pytest

from iottly_async.walk.axis import ASCENDING, DESCENDING, Axis
from iottly_async.walk.keyset.bounds import RequestBound
from iottly_async.walk.quirks import Quirks

from ..pages import ZERO, page_of, quirks_of


@pytest.mark.parametrize(
    ("axis", "known", "held", "asked"),
    [
        (ASCENDING, {}, 0, 1499),
        (ASCENDING, {}, 1, 1500),
        (ASCENDING, {"inclusive": True}, 0, 1500),
        (ASCENDING, {"inclusive": True, "exclusive": True}, 1, 1499),
        (ASCENDING, {"unit": 1000}, 1, 1000),
        (DESCENDING, {}, 0, 2000),
        (DESCENDING, {}, 1, 1501),
        (DESCENDING, {"exact": True}, 0, 1501),
        (DESCENDING, {"unit": 60_000, "exact": True}, 1, 60_000),
    ],
)
def test_a_bound_is_as_wide_as_what_is_known_requires(
    axis: Axis, known: dict[str, int], held: int, asked: int
) -> None:
    """The `from` or `to` sent so that the millisecond 1500 and all after it comes: to the
    millisecond only where what is held back, or an answer before, shows that it is kept."""
    aimed = RequestBound(axis, quirks_of(**known)).aim(axis.point(ZERO + 1500), held)
    assert axis.edge(aimed) - ZERO == asked


class Answers(NamedTuple):
    """To a bound at 1500, with one message of it held back, and to the wider one."""

    axis: Axis
    first: tuple[int, ...]
    wider: tuple[int, ...] | None
    learned: dict[str, int]
    unit: int
    known: tuple[str, int] = ("unit", 1)


@pytest.mark.parametrize(
    "answers",
    [
        Answers(ASCENDING, (1500, 1501), None, {"inclusive": True}, 1),
        Answers(ASCENDING, (1501,), (1500, 1501), {"exclusive": True}, 1),
        Answers(ASCENDING, (1501,), (1501,), {}, 1),
        Answers(ASCENDING, (), (), {}, 1),
        Answers(ASCENDING, (1000, 1500), None, {"unit": 1000}, 1000),
        Answers(ASCENDING, (-70_000, 1500), None, {"unit": 0}, 0),
        Answers(DESCENDING, (1500, 1400), None, {"exact": True}, 1),
        Answers(DESCENDING, (900,), (1500, 900), {"unit": 1000}, 1000),
        Answers(DESCENDING, (900,), (900,), {}, 1),
        Answers(DESCENDING, (900,), (1700,), {}, 1000),
        Answers(DESCENDING, (), (), {}, 1),
        Answers(DESCENDING, (1700, 1500), None, {"exact": True, "unit": 1000}, 1000),
        Answers(ASCENDING, (1700,), None, {"unit": 1000}, 1000, ("unit", 1000)),
        Answers(DESCENDING, (1300,), None, {"unit": 1000}, 1000, ("unit", 1000)),
        Answers(DESCENDING, (1500,), None, {"unit": 1000}, 1000, ("unit", 1000)),
    ],
)
def test_what_was_held_back_tells_whether_the_bound_is_kept(answers: Answers) -> None:
    """It is on the page: the bound is kept, or wider. It is not: asked for once more, from
    further off; there then, the server left it out; still missing, it was deleted, or lies on
    a page to come. A bound that was well off already tells nothing."""
    axis, quirks = answers.axis, quirks_of(**dict([answers.known]))
    bound, at = RequestBound(axis, quirks), axis.point(ZERO + 1500)
    anchor = bound.aim(at, 1)
    assert bound.kept(page_of(*answers.first, axis=axis), anchor, at, 1) is (answers.wider is None)
    if answers.wider is not None:
        anchor = bound.widened(at)
        assert anchor < at
        assert bound.kept(page_of(*answers.wider, axis=axis), anchor, at, 1)
    names = ("exact", "exclusive", "inclusive", "unit")
    learned = {name: getattr(quirks, name) for name in names}
    assert learned == {**{name: getattr(Quirks(), name) for name in names}, **answers.learned}
    assert bound.unit == answers.unit
