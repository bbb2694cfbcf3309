"""The rows of a walk that are no messages: which were met before, and which are new (D8).

Such a row has no time of its own that a cursor or a segment could keep to. It may come with two
pages, or with two segments that meet at its place. So it is known by its bytes, and comes once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

from ..models.bad_row import BadRow
from .keyset.page import RejectedAt

_log: Final = logging.getLogger("iottly_async.walk")

_MOST_KNOWN: Final = 10_000
"""Rows that are remembered, at most. Only rows near each other come twice."""


class RejectedRows:
    """Remembers the rows of one device's walk that are no messages.

    Args:
        device_id: of the device, for the log.
    """

    __slots__ = ("_count", "_device_id", "_met", "_yielded")

    def __init__(self, device_id: str) -> None:
        self._device_id = device_id
        self._count = 0
        self._met: dict[str, None] = {}
        self._yielded: dict[str, None] = {}

    def confirm(self, rows: Iterable[BadRow]) -> bool:
        """Say whether an answer's rows are surely bad: each was so in an earlier answer, too."""
        keys = {row_key(row.raw) for row in rows}
        known = keys <= self._met.keys()
        for key in keys:
            _remember(self._met, key)
        return known

    def only_new(
        self, rejected: Iterable[RejectedAt], is_known: Callable[[str], bool]
    ) -> list[RejectedAt]:
        """Return the rows that were not yielded before, each once, and log them.

        Args:
            rejected: rows of an interval.
            is_known: whether a row, by its key, was yielded by a walk that was resumed.
        """
        new = []
        for at, row in rejected:
            key = row_key(row.raw)
            if key not in self._yielded and not is_known(key):
                new.append((at, row))
            _remember(self._yielded, key)
        if new:
            self._count += len(new)
            self._report(new[0][1], len(new))
        return new

    def _report(self, first: BadRow, many: int) -> None:
        _log.warning(
            "device %s: %d of a page's rows are no messages and were skipped, %d since the walk "
            "began; the first one: %s at %s",
            self._device_id,
            many,
            self._count,
            first.reason,
            first.row_path,
        )


def row_key(raw: bytes) -> str:
    """A hash of a row's bytes, of the form that a cursor remembers."""
    return blake2b(raw, digest_size=8).hexdigest()


def _remember(known: dict[str, None], key: str) -> None:
    known[key] = None
    if len(known) > _MOST_KNOWN:
        del known[next(iter(known))]
