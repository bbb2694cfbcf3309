"""The checks and choices on evidence that no server here can give. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import Config
from iottly_async.doctor import Finding, Verdict
from iottly_async.doctor.bound_reading import read_bound
from iottly_async.doctor.checks import check_all
from iottly_async.doctor.choices import bound_pivot, page_block, range_span
from iottly_async.doctor.evidence import Evidence, Exchange, SampleRow, times_of
from iottly_async.doctor.plan import FLEET, PING, PROJECT, Step
from iottly_async.wire import Answer

START = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def exchange(
    step: Step, headers: Mapping[str, str], *, sent_at: float = START / 1000, kept: bool = True
) -> Exchange:
    """A request that was answered by an empty object."""
    return Exchange(
        step=step,
        parameters=(),
        answer=Answer(200, {"content-type": "application/json", **headers}, b"{}"),
        failure="",
        sent_at=sent_at,
        seconds=0.1,
        kept=kept,
    )


def quota(remaining: int, **more: str) -> dict[str, str]:
    """The limit headers of an answer."""
    return {
        "x-ratelimit-limit": "600",
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(START // 1000 + 30),
        **more,
    }


def found(*exchanges: Exchange) -> dict[str, Finding]:
    """The findings on answers to ping, to the fleet's devices and to the project, in order."""
    evidence = Evidence(config=Config(), project_id="p", exchanges=list(exchanges))
    for each, name in zip(exchanges, ("ping", "fleet", "project"), strict=False):
        setattr(evidence, name, each)
    return {each.check: each for each in check_all(evidence)}


def counted(first: int, second: int, third: int) -> Finding:
    """What the counts of three answers say about the quota."""
    steps = zip((PING, FLEET, PROJECT), (first, second, third), strict=True)
    return found(*(exchange(step, quota(left)) for step, left in steps))["one quota"]


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((599, 598, 597), Verdict.OK),
        ((599, 420, 598), Verdict.DIFFERS),
        ((599, 590, 580), Verdict.UNKNOWN),
        ((599, 598, 590), Verdict.UNKNOWN),
        ((0, 599, 598), Verdict.UNKNOWN),
        ((599, 599, 598), Verdict.UNKNOWN),
        ((599, 599, 599), Verdict.UNKNOWN),
    ],
)
def test_the_counts_tell_one_quota_from_two(counts: tuple[int, int, int], verdict: Verdict) -> None:
    """Only counts that others cannot have changed tell."""
    assert counted(*counts).verdict is verdict


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (
            {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
            "spelled as in the IETF's draft",
        ),
        (quota(5, **{"x-ratelimit-reset": "30"}), "seconds from now"),
        (quota(5, **{"x-ratelimit-reset": str(START + 30_000)}), "in milliseconds"),
    ],
)
def test_limit_headers_of_another_form_are_told(headers: dict[str, str], words: str) -> None:
    """They are read, and the difference is named."""
    told = found(exchange(PING, headers), exchange(FLEET, headers))["limit headers"]
    assert told.verdict is Verdict.DIFFERS
    assert words in told.evidence


def dated(*offsets: float) -> Finding:
    """The finding on clocks, for answers whose Date is off by so many seconds."""
    made = [
        exchange(PING, {"date": formatdate(START / 1000 + offset, usegmt=True)})
        for offset in offsets
    ]
    return found(*made)["clock"]


def test_dates_that_contradict_each_other_are_told() -> None:
    """Two machines behind one address may have two clocks."""
    assert "contradict" in dated(0, 300).evidence
    assert dated(0, 0).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("offset", "words"), [(90, "s ahead of"), (-90, "s behind"), (3600, "3600 s ahead of")]
)
def test_a_clock_that_is_off_is_told_by_how_much(offset: float, words: str) -> None:
    """The difference is in seconds."""
    told = dated(offset)
    assert told.verdict is Verdict.DIFFERS
    assert words in told.evidence


def test_without_evidence_every_check_is_unknown_and_says_why() -> None:
    """A diagnosis that could ask nothing has all of its checks."""
    evidence = Evidence(config=Config(), project_id="p", stopped="the quota is used up")
    findings = list(check_all(evidence))
    assert {each.verdict for each in findings} == {Verdict.UNKNOWN}
    assert {each.evidence for each in findings} <= {
        "not asked: the quota is used up",
        "not all answers have limit headers",
    }
    assert len({each.check for each in findings}) == len(findings) > 20


GAPS = st.lists(st.integers(0, 3) | st.integers(0, 5000), min_size=0, max_size=100)


def rows_of(gaps: list[int]) -> list[SampleRow]:
    """Rows at these distances, each with a content of its own."""
    at, rows = START, []
    for number, gap in enumerate(gaps):
        at += gap
        rows.append(SampleRow(at, bytes([number])))
    return rows


@given(GAPS)
def test_the_chosen_pages_differ_by_their_times(gaps: list[int]) -> None:
    """So page 1 cannot be taken for page 2, nor 2 for 3."""
    rows = rows_of(gaps)
    size = page_block(rows)
    if size:
        one, two, three = (times_of(rows[size * n : size * (n + 1)]) for n in range(3))
        assert one
        assert one != two != three


@given(GAPS, st.sampled_from([1, 10, 100, 1000, 60_000]))
def test_a_bound_is_read_as_it_was_understood(gaps: list[int], unit: int) -> None:
    """An exact service is told from one that rounds, which is never taken for an exact one."""
    rows = rows_of(gaps)
    pivot = bound_pivot(rows)
    if pivot is None:
        return
    bound = rows[pivot].at + 1
    answered = [row for row in rows if row.at >= bound - bound % unit][:10]
    reading = read_bound(answered, rows, pivot, 200)
    assert (reading.unit == 1) is (unit == 1)
    if reading.unit is not None:
        assert reading.unit <= unit
    assert read_bound([], rows, pivot, 404).unit is None
    assert read_bound(None, rows, pivot, 400).text == "answered by 400"


@given(GAPS)
def test_the_chosen_range_begins_and_ends_between_milliseconds(gaps: list[int]) -> None:
    """So both of its bounds cut no tie."""
    rows = rows_of(gaps)
    span = range_span(rows)
    if span is not None:
        assert rows[span.start - 1].at < rows[span.start].at
        assert rows[span.stop - 1].at < rows[span.stop].at
        assert 0 < span.stop - span.start <= 10
