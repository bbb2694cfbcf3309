"""How the help of a command is printed: its lines are as long as the terminal is wide.

cyclopts keeps the line ends of a docstring. On a terminal that is narrower than the docstring,
each of its lines would end in a short one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

if TYPE_CHECKING:
    from cyclopts.help import DefaultFormatter, HelpPanel
    from rich.console import Console, ConsoleOptions

_WITHIN_PARAGRAPH: Final = re.compile(r"(?<!\n)\n(?![\s-])")
"""A line end that is neither beside an empty line nor before a line of a list."""


class HelpFormatter:
    """Prints the parts of a command's help, as cyclopts' own formatter does."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a panel of arguments or options."""
        entries = [evolve(one, description=_flowing(one.description)) for one in panel.entries]
        self._default()(console, options, panel.copy(entries=entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print how the command is called."""
        self._default().render_usage(console, options, usage)

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        """Print what the command does."""
        self._default().render_description(console, options, _flowing(description))

    def _default(self) -> DefaultFormatter:
        # Imported here: a command that does its work needs no rich for its help.
        from cyclopts.help import DefaultFormatter

        return DefaultFormatter()


def _flowing(description: Any) -> Any:
    from rich.text import Text

    text = getattr(description, "primary_renderable", None)
    if isinstance(text, Text):
        description.primary_renderable = Text(_WITHIN_PARAGRAPH.sub(" ", text.plain))
    return description
