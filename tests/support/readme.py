"""The README's commands and snippets, for tests and for continuous integration.

``python tests/support/readme.py test`` prints the test command, ``… demo`` the demo command.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"


def blocks(language: str, page: Path = README) -> list[str]:
    """The fenced blocks of one language in a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)


def command(name: str) -> str:
    """The command of the shell block that begins with ``# name``."""
    for block in blocks("sh"):
        first, _, rest = block.partition("\n")
        if first.strip() == f"# {name}":
            return rest.strip()
    raise SystemExit(f"README.md has no sh block that begins with '# {name}'")


if __name__ == "__main__":
    sys.stdout.write(command(sys.argv[1]) + "\n")
