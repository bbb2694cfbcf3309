"""The README and the pages of docs/: their snippets run, and their tables are complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import iottly_async
from iottly_async.emulator import EmulatorThread

from .support.readme import DOCS, blocks, command


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The environment variables that point a program at an emulator."""
    with EmulatorThread(devices=3, messages=600) as emulator:
        yield {
            **os.environ,
            "IOTTLY_API_KEY": emulator.api_key,
            "IOTTLY_BASE_URL": emulator.base_url,
            "IOTTLY_PROJECT": emulator.project_id,
        }


SNIPPETS = [
    *blocks("python"),
    *blocks("python", DOCS / "index.md"),
    *blocks("python", DOCS / "operating.md"),
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0])
def test_every_python_snippet_runs_as_it_stands(snippet: str, environment: dict[str, str]) -> None:
    """A reader can copy a snippet and run it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "messages" in done.stdout


def test_the_two_commands_are_one_line_each() -> None:
    """Each can be copied as one line."""
    for name in ("demo", "test"):
        assert "\n" not in command(name)


def test_every_error_is_in_the_table() -> None:
    """The table has every error class, except the base classes of groups."""
    text = (DOCS / "errors.md").read_text("utf-8")
    groups = {"IottlyError", "TransportError", "ApiError", "WalkError"}
    names = {name for name in iottly_async.__all__ if name.endswith("Error")} - groups
    assert not {name for name in names if f"`{name}`" not in text}


def test_every_logger_is_in_the_table() -> None:
    """docs/operating.md has each logger of the library by its name."""
    package = Path(iottly_async.__file__).parent
    sources = [path for path in package.rglob("*.py") if "emulator" not in path.parts]
    named = re.compile(r'getLogger\("(iottly_async[.\w]*)"\)')
    found = {name for path in sources for name in named.findall(path.read_text("utf-8"))}
    assert {"iottly_async", "iottly_async.outage"} <= found
    text = (DOCS / "operating.md").read_text("utf-8")
    assert not {name for name in found if f"| `{name}` |" not in text}


def test_every_decision_is_explained() -> None:
    """D1 to D18, which docstrings cite, each have a row."""
    text = (DOCS / "decisions.md").read_text("utf-8")
    assert all(f"| D{number} | " in text for number in range(1, 19))
