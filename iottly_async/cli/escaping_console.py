"""A console of rich on which a text from outside cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..texts import escaped


class EscapingConsole(Console):
    """A console whose texts hold no control character but the end of a line."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render, and escape what cannot be printed."""
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                lines = map(escaped, segment.text.split("\n"))
                segment = segment._replace(text="\n".join(lines))
            yield segment
