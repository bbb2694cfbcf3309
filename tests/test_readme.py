"""The README and the tables of docs/: nothing is missing in them."""

from __future__ import annotations

import re
from pathlib import Path

import iottly_async

from .support.pages import EXTRAS
from .support.readme import DOCS, README, command


def test_the_two_commands_are_one_line_each() -> None:
    """Each can be copied as one line."""
    for name in ("demo", "test"):
        assert "\n" not in command(name)


def test_the_readme_is_short() -> None:
    """A reader is through it in three minutes: 700 words, with code and tables."""
    assert len(README.read_text("utf-8").split()) <= 700


def test_every_extra_is_on_the_first_page() -> None:
    """docs/index.md says what each extra is for, except those that only contributors need."""
    for extra in EXTRAS - {"bench", "docs", "elsewhere", "test"}:
        assert f"`{extra}`" in (DOCS / "index.md").read_text("utf-8")


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
