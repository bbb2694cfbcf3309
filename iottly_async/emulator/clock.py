"""The server's clock: real time plus an offset, or pinned where a test wants it to stand still.

Everything the emulator dates goes by this clock: the ``Date`` header, the timestamps of appended
messages, the windows of the rate limit, the progress of commands.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from .times import to_datetime, to_ms


class EmulatorClock:
    """The emulator's idea of now.

    ``offset`` (seconds, or a ``timedelta``; 0 by default) is added to real time, so a server whose
    clock is five seconds ahead has an offset of 5. A pinned clock stands still until ``advance``
    or ``unpin``; the offset does not apply to it.
    """

    def __init__(self, offset: float = 0.0, *, real: Callable[[], float] = time.time) -> None:
        self._offset = offset
        self._pinned: float | None = None
        self._real = real

    @property
    def offset(self) -> float:
        """Seconds by which the server is ahead of real time (negative: behind)."""
        return self._offset

    @offset.setter
    def offset(self, value: float | timedelta) -> None:
        self._offset = value.total_seconds() if isinstance(value, timedelta) else float(value)

    @property
    def pinned(self) -> bool:
        """Whether the clock stands still."""
        return self._pinned is not None

    def pin(self, at: datetime | int | None = None) -> None:
        """Make the clock stand still at ``at`` (aware, or epoch ms), or at this moment."""
        self._pinned = self.time() if at is None else to_ms(at) / 1000

    def unpin(self) -> None:
        """Let the clock run again, at real time plus the offset."""
        self._pinned = None

    def advance(self, seconds: float) -> None:
        """Move a pinned clock, or the offset of a running one, by ``seconds``."""
        if self._pinned is None:
            self._offset += seconds
        else:
            self._pinned += seconds

    def time(self) -> float:
        """The server's time in epoch seconds."""
        return self._real() + self._offset if self._pinned is None else self._pinned

    def now_ms(self) -> int:
        """The server's time in whole epoch milliseconds."""
        return int(self.time() * 1000 + 1e-3)  # a pinned millisecond must come back as it was given

    def now(self) -> datetime:
        """The server's time as an aware ``datetime``."""
        return to_datetime(self.now_ms())

    def as_json(self) -> dict[str, Any]:
        """The clock as it is given out at the control address."""
        return {"now": self.now().isoformat(), "offset": self.offset, "pinned": self.pinned}
