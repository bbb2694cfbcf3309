"""Colours of the command line can be read on light and on dark terminals."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from iottly_async import cli
from iottly_async.cli import console

COLOURS = ("BAD", "FAINT", "GOOD", "MARKED", "WARNING")
THEME = TerminalTheme((0, 0, 0), (255, 255, 255), [(0, 0, 0)] * 8)


def luminance(colour: tuple[int, int, int]) -> float:
    """The relative luminance of WCAG 2."""
    parts = [each / 255 for each in colour]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", COLOURS)
def test_a_colour_can_be_read_on_white_and_on_black(name: str) -> None:
    """Its contrast is 3.5 or more on both; 3 is what WCAG 2 asks for large texts and charts."""
    colour = Style.parse(getattr(console, name)).color
    assert colour is not None
    light = luminance(colour.get_truecolor(THEME))
    assert 1.05 / (light + 0.05) >= 3.5
    assert (light + 0.05) / 0.05 >= 3.5


def test_no_other_colour_is_used() -> None:
    """Colours of a terminal's own palette, such as yellow, are unreadable on one of them."""
    for path in sorted(Path(cli.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = set(node.value.split()) if len(node.value) < 30 else set()
                palette = {"red", "green", "yellow", "blue", "magenta", "cyan", "white", "dim"}
                assert not words & palette, (path.name, node.value)
