"""The benchmarks: how they are found and run, their table, and their pages."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from benchmarks.__main__ import found, main
from benchmarks.clients import by_attribute, held_from
from benchmarks.pages import DEVICE, PROJECT, SIZE, Range, page, row, timestamp
from benchmarks.pairing import Race
from benchmarks.patience_limits import bare
from benchmarks.patience_peers import AdaptiveRate
from benchmarks.table import Figure, NotRun, run_parts
from benchmarks.typed_rows import WirePage, keys_by_hand
from iottly_async.codec import decode_history, decode_page

HERE = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_has_a_summary() -> None:
    """The list has each module with a `main`, and the first line of its docstring."""
    listed = {one.name: one.summary for one in found()}
    for path in HERE.glob("[!_]*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            assert listed[path.stem]


def test_the_list_runs_no_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """`list` prints names and summaries, and no table."""
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "fastpath" in printed
    assert "measured" not in printed


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the benchmarks that exist."""
    assert main(["nothing"]) == 2
    assert "fastpath" in capsys.readouterr().err


def test_one_benchmark_runs_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """A named benchmark gets the arguments after its name; stdout has only the table."""
    assert main(["fastpath", "--turns", "2", "--messages", "200", "--part", "in-memory"]) == 0
    captured = capsys.readouterr()
    header, *rows = captured.out.splitlines()
    assert header.startswith("figure")
    assert [row.split(":")[0] for row in rows] == ["in memory"] * 6
    assert "at best" in captured.err


def test_rows_are_yielded_as_they_are_measured() -> None:
    """A row does not wait for the part after it, and a part without its package has a row."""
    steps: list[str] = []

    def measured() -> Iterator[Figure]:
        steps.append("first")
        yield Figure("first", 1.0)
        steps.append("second")
        yield Figure("second", 1.0)

    def missing() -> Iterator[Figure]:
        raise ModuleNotFoundError("No module named 'lost'", name="lost")

    rows = run_parts({"measured": measured, "missing": missing})
    assert next(rows) == Figure("first", 1.0)
    assert steps == ["first"]
    assert [*rows][1:] == [NotRun("missing", "No module named 'lost'")]
    assert "cannot run: No module" in NotRun("missing", "No module named 'lost'").row()


def test_a_module_of_ours_that_is_missing_is_an_error() -> None:
    """Only foreign packages may be absent."""

    def broken() -> Iterator[Figure]:
        raise ModuleNotFoundError("No module named 'tests.lost'", name="tests.lost")

    with pytest.raises(ModuleNotFoundError):
        next(run_parts({"broken": broken}))


async def test_ratios_are_of_the_same_turn() -> None:
    """Each ratio divides two times of one turn."""

    async def work() -> int:
        return 3

    race = Race()
    await race.run({"a": work, "b": work}, turns=5)
    assert len(race.ratios("a", "b", "wall")) == 5
    assert race.ratios("a", "a", "wall") == [1.0] * 5
    assert race.units == 3


async def test_contenders_must_do_the_same_work() -> None:
    """A contender that does less work than another is an error, not a good figure."""

    async def all_of_it() -> int:
        return 100

    async def some_of_it() -> int:
        return 99

    with pytest.raises(RuntimeError, match="lazy did 99 units"):
        await Race().run({"honest": all_of_it, "lazy": some_of_it}, turns=1)


def test_a_missed_bound_is_marked() -> None:
    """A row says when its figure misses its bound, upper or lower."""
    figures = [Figure("fast", 0.9, 1.0), Figure("slow", 1.1, 1.0), Figure("few", 3.0, 3.5, ">=")]
    assert ["missed" in figure.row() for figure in figures] == [False, True, True]


def test_pages_have_the_form_of_the_service() -> None:
    """A page has 100 messages in order, about 28 kB, and the next starts with its last one."""
    messages = Range(250)
    first = decode_page(messages.since(""), project_id="p", device_id="d").messages
    assert len(first) == SIZE
    assert [message.timestamp for message in first] == [timestamp(i) for i in range(SIZE)]
    assert 25_000 < len(messages.since("")) < 31_000
    start = first[-1].timestamp.replace(tzinfo=None).isoformat(timespec="milliseconds")
    second = decode_page(messages.since(start), project_id="p", device_id="d").messages
    assert second[0] == first[-1]
    assert second[0].payload != second[1].payload


def test_both_forms_of_a_row_are_the_same_message() -> None:
    """A row of the history and a row of a page have the same key."""
    body = page([row(7, stored=True)], stored=True)
    (stored,) = decode_history(body, project_id="p", device_id="d").messages
    (paged,) = decode_page(page([row(7)]), project_id="p", device_id="d").messages
    assert stored.key == paged.key


@pytest.mark.parametrize("ties", [2, 5])
def test_pages_can_share_milliseconds(ties: int) -> None:
    """From page to page each message comes once, and up to `ties` share a millisecond."""
    messages = Range(1000, ties)
    found, start = [], ""
    while True:
        rows = decode_page(messages.since(start), project_id="p", device_id="d").messages
        if len(rows) < SIZE:
            break
        found += rows[: held_from(rows, by_attribute)]
        start = rows[-1].timestamp.replace(tzinfo=None).isoformat(timespec="milliseconds")
    found += rows
    shared = Counter(message.timestamp for message in found)
    assert (len(found), max(shared.values())) == (1000, ties)
    assert [message.timestamp for message in found] == sorted(shared.elements())


def test_keys_made_by_hand_are_those_of_the_library() -> None:
    """The floor of a job computes the same keys, also of a time without milliseconds."""
    body = page([row(index) for index in range(3)])
    messages = decode_page(body, project_id=PROJECT, device_id=DEVICE).messages
    rows = msgspec.json.decode(body, type=WirePage).messages
    assert keys_by_hand(rows) == [message.key for message in messages]


def test_the_adaptive_rule_follows_its_curve() -> None:
    """botocore's rule as published: 0.7 of the rate after a throttle, all of it K seconds later."""
    now = 100.0
    rule = AdaptiveRate(lambda: now)
    for _ in range(400):  # 40 a second for ten seconds
        now += 0.025
        rule.answered(throttled=False)
    rule.answered(throttled=True)
    assert rule.rate == pytest.approx(0.7 * 40, rel=0.05)
    steady = (40 * 0.3 / 0.4) ** (1 / 3)
    while now < 110.0 + steady:
        now += 0.025
        rule.answered(throttled=False)
    assert rule.rate == pytest.approx(40, rel=0.05)
    while now < 110.0 + 2.5 * steady:
        now += 0.025
        rule.answered(throttled=False)
    assert 45 < rule.rate < 81


@pytest.mark.parametrize("client", ["expo", "adaptive"])
@pytest.mark.parametrize("algorithm", ["bucket", "fixed", "sliding"])
def test_a_limit_lets_nobody_through_sooner(algorithm: str, client: str) -> None:
    """No client is faster than the least time, and each refusal was of the limit."""
    result, least = bare(algorithm, client, seconds=4)
    assert result.failed == 0
    assert result.seconds >= least > 2
    assert result.sent - result.refused == 4 * 40
