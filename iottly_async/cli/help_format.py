"""How the help of a command is printed: its lines are as long as the terminal is wide.

cyclopts keeps the line ends of a docstring. On a terminal that is narrower than the docstring,
each of its lines would end in a short one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve
from cyclopts.help import DefaultFormatter, HelpPanel, InlineText
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

_WITHIN_PARAGRAPH: Final = re.compile(r"(?<!\n)\n(?![\s-])")
"""A line end that is neither beside an empty line nor before a line of a list."""


class HelpFormatter(DefaultFormatter):
    """Prints the panels of a command's help."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a panel."""
        entries = [evolve(one, description=_flowing(one.description)) for one in panel.entries]
        super().__call__(console, options, panel.copy(entries=entries))

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        """Print what a command does."""
        super().render_description(console, options, _flowing(description))


def _flowing(description: Any) -> Any:
    if isinstance(description, InlineText) and isinstance(description.primary_renderable, Text):
        text = _WITHIN_PARAGRAPH.sub(" ", description.primary_renderable.plain)
        description.primary_renderable = Text(text)
    return description
