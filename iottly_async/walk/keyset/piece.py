"""What a window gives out: a stretch of the axis that is complete."""

from __future__ import annotations

from typing import NamedTuple

from ...models.message import Message


class CompleteInterval(NamedTuple):
    """All messages of the stretch [start, end) of the axis, in order."""

    start: int
    end: int
    messages: list[Message]
