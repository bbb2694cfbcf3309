"""The environment of the tests: no variable of the shell that runs them changes a result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

_OF_TERMINALS: Final = frozenset({"CLICOLOR", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR"})
_OF_THE_TESTS: Final = frozenset({"IOTTLY_AXE", "IOTTLY_SITE", "IOTTLY_WHEEL"})

PROXIES: Final[Mapping[str, str]] = {
    name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")
}
"""The proxies of this machine, for a test that needs a package index."""


def clear_environment() -> None:
    """Unset the proxies, the library's settings, and what says how a terminal looks."""
    for name in [*os.environ]:
        setting = name.startswith("IOTTLY_") and name not in _OF_THE_TESTS
        if setting or name in PROXIES or name in _OF_TERMINALS:
            del os.environ[name]
