"""The benchmarks: found without being imported, fair to all contenders, honest in the table."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.__main__ import found, main
from benchmarks.pages import SIZE, Range, page, row, timestamp
from benchmarks.pairing import Race
from benchmarks.table import Figure, show
from iottly_async.codec import decode_history, decode_page

HERE = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_says_what_it_measures() -> None:
    """A module with a `main` is listed, with the first line of its docstring."""
    listed = {one.name: one.summary for one in found()}
    for path in HERE.glob("[!_]*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            assert listed[path.stem]


def test_the_list_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """`list` prints the names and their summaries, and no figure."""
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "fastpath" in printed
    assert "measured" not in printed


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none tells which there are."""
    assert main(["nothing"]) == 2
    assert "fastpath" in capsys.readouterr().err


def test_one_benchmark_runs_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """A named benchmark is run with what follows its name, and its figures make the table."""
    assert main(["fastpath", "--turns", "2", "--messages", "200", "--part", "in-memory"]) == 0
    assert "in memory: walk" in capsys.readouterr().out


async def test_ratios_are_of_the_same_turn() -> None:
    """Each ratio divides two measurements of one turn; the median of them is the figure."""

    async def work() -> int:
        return 3

    race = Race()
    await race.run({"a": work, "b": work}, turns=5)
    assert len(race.ratios("a", "b", "wall")) == 5
    assert race.ratios("a", "a", "wall") == [1.0] * 5
    assert race.units == 3


async def test_contenders_must_do_the_same_work() -> None:
    """A contender that worked through less than another is an error, not a good figure."""

    async def all_of_it() -> int:
        return 100

    async def some_of_it() -> int:
        return 99

    with pytest.raises(RuntimeError, match="lazy worked through 99"):
        await Race().run({"honest": all_of_it, "lazy": some_of_it}, turns=1)


def test_a_missed_bound_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """The table says which figures miss what they are to reach, in either sense."""
    show([Figure("fast", 0.9, 1.0), Figure("slow", 1.1, 1.0), Figure("few", 3.0, 3.5, ">=")])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert ["missed" in line for line in lines] == [False, True, True]


def test_the_pages_are_the_services() -> None:
    """A page has 100 messages in order, 28 kB or so, and the next begins with its last."""
    messages = Range(250)
    first = decode_page(messages.since(""), project_id="p", device_id="d")
    assert len(first) == SIZE
    assert [message.timestamp for message in first] == [timestamp(i) for i in range(SIZE)]
    assert 25_000 < len(messages.since("")) < 31_000
    start = first[-1].timestamp.replace(tzinfo=None).isoformat(timespec="milliseconds")
    second = decode_page(messages.since(start), project_id="p", device_id="d")
    assert second[0] == first[-1]
    assert second[0].payload != second[1].payload


def test_a_page_of_the_history_is_one_too() -> None:
    """The history's form of a row is the same message."""
    body = page([row(7, stored=True)], stored=True)
    (stored,) = decode_history(body, project_id="p", device_id="d")
    (paged,) = decode_page(page([row(7)]), project_id="p", device_id="d")
    assert stored.key == paged.key
