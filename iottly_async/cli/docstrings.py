"""Reads docstrings: what a command or a class is for, and what each of its names means."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Final

_SECTION: Final = re.compile(r"^(Args|Attributes|Example|Raises|Returns|Yields):$", re.MULTILINE)
_ENTRY: Final = re.compile(r"^ {4}(\w+): ((?:.|\n(?: {5}|\n))*)", re.MULTILINE)


def paragraphs(docstring: str | None) -> list[str]:
    """The paragraphs of a docstring before its first section, each in one line."""
    text = _SECTION.split(cleandoc(docstring or ""))[0].strip()
    return [" ".join(part.split()) for part in text.split("\n\n") if part]


def meanings(docstring: str | None, section: str) -> dict[str, str]:
    """What the names of a section mean, each in one line.

    Args:
        docstring: in Google's style.
        section: "Args" or "Attributes".
    """
    parts = _SECTION.split(cleandoc(docstring or ""))
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title == section:
            return {name: " ".join(text.split()) for name, text in _ENTRY.findall(body)}
    return {}
