"""The checks: each reads the evidence and makes findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..evidence import Evidence
from ..findings import Finding
from .access import check_access
from .answers import check_answers
from .bounds import check_bounds
from .clocks import check_clocks
from .connections import check_connections
from .emptiness import check_emptiness
from .history import check_history
from .pages import check_pages
from .quota import check_quota
from .stream import check_stream
from .ties import check_ties

_CHECKS: Final = (
    *(check_access, check_clocks, check_quota, check_bounds, check_pages, check_emptiness),
    *(check_answers, check_ties, check_history, check_stream, check_connections),
)


def check_all(evidence: Evidence) -> Iterator[Finding]:
    """Make all findings, in a fixed order.

    Args:
        evidence: of a diagnosis, whole or not.

    Yields:
        One finding for each check, "unknown" where the evidence is not enough.
    """
    for check in _CHECKS:
        yield from check(evidence)
