"""Where a walk ends: by the server's clock, as its first answer tells it."""

from __future__ import annotations

import logging
from math import floor
from typing import Final

from ..errors import CursorMismatchError
from ..models._time import from_epoch_ms
from ..models.cursor import Cursor

_log: Final = logging.getLogger("iottly_async")

_AHEAD_MS: Final = 60_000
"""How far ahead of the server's clock a time may be before something must be wrong."""


class PinnedEnd:
    """The server's time at the first answer, one for all tracks of a walk.

    Attributes:
        server_now: seconds since the epoch; None before the first answer.
    """

    __slots__ = ("_warned", "server_now")

    def __init__(self) -> None:
        self.server_now: float | None = None
        self._warned = False

    def tell(self, server_now: float) -> float:
        """The server's time at the first answer, which this one is if there was none."""
        if self.server_now is None:
            self.server_now = server_now
        return self.server_now

    def compare(self, newest: int, server_time: float, device_id: str) -> None:
        """Warn, once a walk, of a message that is later than the server's own clock."""
        if newest <= server_time * 1000 + _AHEAD_MS or self._warned:
            return
        self._warned = True
        _log.warning(
            "device %s has a message of %s, ahead of the server's clock, which shows %s: its "
            "times are probably not UTC but of another time zone; messages later than the "
            "server's clock are left out",
            device_id,
            _iso(newest),
            _iso(floor(server_time * 1000)),
        )


def check_end(cursor: Cursor, server_now: float) -> None:
    """Refuse a cursor whose end lies in the server's future.

    Raises:
        CursorMismatchError: it does; resumed, the walk would leave out what is to come.
    """
    if cursor.pinned_end > server_now * 1000 + _AHEAD_MS:
        raise CursorMismatchError(
            f"the cursor says that messages up to {_iso(cursor.pinned_end)} were handed out, "
            f"but the server's clock shows {_iso(floor(server_now * 1000))}: "
            "it comes from another server"
        )


def _iso(ms: int) -> str:
    return from_epoch_ms(ms).isoformat(timespec="milliseconds")
