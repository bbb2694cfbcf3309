"""The README: its snippets run, and its tables are complete."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import iottly_async
from iottly_async.emulator import EmulatorThread

from .support.readme import README, blocks, command


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


@pytest.mark.parametrize("snippet", blocks("python"), ids=lambda text: text.split("\n")[0])
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
    text = README.read_text("utf-8")
    groups = {"IottlyError", "TransportError", "ApiError", "WalkError"}
    names = {name for name in iottly_async.__all__ if name.endswith("Error")} - groups
    assert not {name for name in names if f"`{name}`" not in text}


def test_every_decision_is_explained() -> None:
    """D1 to D18, which docstrings cite, each have a row."""
    text = README.read_text("utf-8")
    assert all(f"| D{number} | " in text for number in range(1, 19))
