"""`iottly --help` and `--version` start quickly: they load no client and no store."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from unittest import mock

import pytest
from rich.console import Console

from iottly_async.__main__ import main
from iottly_async._version import __version__
from iottly_async.cli.app import make_app
from iottly_async.cli.arguments import TypeOption
from iottly_async.cli.docstrings import paragraphs
from iottly_async.cli.overview import COMMANDS
from iottly_async.resources.messages import TypeFilter

from .conftest import COMMAND, ROOT

PROGRAM = """
import json, sys
from iottly_async.__main__ import main
codes = [main(words) for words in json.loads(sys.argv[1])]
sys.stderr.write(json.dumps([codes, sorted(sys.modules)]))
"""
HEAVY = {
    *(
        "asyncio",
        "aiohttp",
        "cattrs",
        "msgspec",
        "duckdb",
        "pyarrow",
        "asyncpg",
        "redis",
        "backoff",
    ),
    *("iottly_async.session", "iottly_async.models", "iottly_async.ingest"),
    *("iottly_async.emulator", "iottly_async.resources"),
}
"""What no help needs."""
DRAWING = {"rich.console", "rich.table", "rich.text"}


def loaded_by(*lines: list[str]) -> tuple[str, set[str]]:
    """What command lines print in one process, and the modules that they load."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    codes, modules = json.loads(done.stderr)
    assert not any(codes)
    return done.stdout, set(modules)


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_version_and_the_help_load_hardly_anything(argument: str) -> None:
    """Neither the client, whose imports are most of the start of a command, nor cyclopts."""
    shown, modules = loaded_by([argument])
    assert not (HEAVY | DRAWING | {"cyclopts", "attr"}) & modules
    assert shown == f"{__version__}\n" or all(f" {name} " in shown for name in COMMANDS)


def test_the_help_of_a_command_loads_no_client() -> None:
    """Each command's options are known without what it does."""
    shown, modules = loaded_by(*([name, "--help"] for name in COMMANDS))
    assert not HEAVY & modules
    for name in COMMANDS:
        assert f"Usage: iottly {name}" in shown


def test_a_command_loads_no_other_and_draws_only_tables(environment: dict[str, str]) -> None:
    """What prints JSON into a pipe starts without rich."""
    with mock.patch.dict(os.environ, environment):
        shown, modules = loaded_by(["ping"])
    assert shown.startswith('{"status":"pong"')
    assert not DRAWING & modules
    others = {f"iottly_async.cli.{module}" for module, _ in COMMANDS.values()}
    assert others & modules == {"iottly_async.cli.project"}


def test_the_overview_says_what_each_command_is_for() -> None:
    """It is written beside the commands, so as not to load them; it is what their help says."""
    app = make_app()
    assert {*app} - {"help", "--completion", "--help", "-h", "--version"} == {*COMMANDS}
    for name, (_, summary) in COMMANDS.items():
        assert paragraphs(app[name].help)[0] == summary


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_overview_is_the_page_that_cyclopts_would_print(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """In any width: the same words in the same order, in lines that fit."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([]) == 0
    shown = capfd.readouterr().out
    make_app().help_print([], console=Console(width=columns))
    assert words(shown) == words(capfd.readouterr().out)
    assert max(map(len, shown.splitlines())) == columns


def words(page: str) -> list[str]:
    """The words of a page, without the lines of boxes and the parentheses of a newer cyclopts."""
    return re.sub("[│─╭╮╰╯()]", " ", page).split()


def test_the_overview_has_colours_on_a_terminal_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with NO_COLOR, and not on a terminal that shows none."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    pages = []
    for changed in ({}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        main(["--help"])
        pages.append(capfd.readouterr().out)
    assert ["\x1b[36m" in page for page in pages] == [False, True, False, False]
    assert re.sub("\x1b.*?m", "", pages[1]) == pages[0]


def test_the_overview_can_be_printed_as_ascii() -> None:
    """A stdout that cannot encode the lines of a box gets other lines."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(
        [*COMMAND, "--help"], cwd=ROOT, env=environment, capture_output=True, check=True
    ).stdout
    assert b"+- Commands ---" in shown


def test_the_types_of_messages_are_those_of_the_api() -> None:
    """The command line names them again, so as not to load the API."""
    assert TypeOption == TypeFilter
