"""The documents for contributors: the paths that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_architecture import FLOORS

ROOT = Path(__file__).parents[1]
PLACES = (ROOT, ROOT / "iottly_async")
DOCUMENTS = ["docs/architecture.md", "CONTRIBUTING.md"]
CODE = re.compile(r"`([^`\n]+)`")
SUFFIXES = (".py", ".md", ".lua", ".toml", "/")


def paths_of(document: str) -> set[str]:
    """The paths that a document names in backticks."""
    codes = CODE.findall((ROOT / document).read_text("utf-8"))
    return {code for code in codes if code.endswith(SUFFIXES) and " " not in code}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_named_exists(document: str) -> None:
    """A reader finds each file and folder; `<kind>` stands for any name."""
    missing = []
    for path in sorted(paths_of(document)):
        pattern = re.sub(r"<\w+>", "*", path)
        if not any([*place.glob(pattern)] for place in PLACES):
            missing.append(path)
    assert missing == []


def test_every_room_is_in_the_table() -> None:
    """docs/architecture.md has each room that the floors list."""
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    rooms = {room for rooms in FLOORS for room in rooms if not room.startswith("_")}
    missing = [room for room in rooms if f"`{room}.py`" not in text and f"`{room}/`" not in text]
    assert sorted(missing) == []
