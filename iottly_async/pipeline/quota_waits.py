"""Logs waits for quota that take long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ..clock import Clock
from ..models import Quota

_log = logging.getLogger("iottly_async.quota")

LOGGED_AFTER: Final = 10.0
"""Seconds of a wait after which it is logged."""


class QuotaWaits:
    """The waits for quota of a session. A wait is logged once, as soon as it takes 10 s.

    The line has the seconds that the wait takes in all, as far as the end of the quota's window
    is known. Calls that began to wait at about the same time share a line.

    Args:
        clock: the time.
        quota: tells the quota as known now.
    """

    def __init__(self, clock: Clock, quota: Callable[[], Quota]) -> None:
        self._clock = clock
        self._quota = quota
        self._number = 0
        # When each wait began, and of which call; oldest first. A wait that was logged is
        # not in it any more.
        self._waits: dict[int, tuple[float, str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, name: str) -> tuple[int, float]:
        """A call begins to wait.

        Args:
            name: of its route.

        Returns:
            What `end` takes.
        """
        self._number += 1
        now = self._clock.monotonic()
        self._waits[self._number] = (now, name)
        if self._timer is None:
            self._set_timer(LOGGED_AFTER)
        return self._number, now

    def end(self, wait: tuple[int, float]) -> float:
        """A call has its permit, or gave up.

        Args:
            wait: from `begin`.

        Returns:
            Seconds that it waited.
        """
        number, begun = wait
        self._waits.pop(number, None)
        return self._clock.monotonic() - begun

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, seconds: float) -> None:
        # One timer for all: most waits are over at once, and cost no timer of their own.
        self._timer = asyncio.get_running_loop().call_later(seconds, self._log_long)

    def _log_long(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        due = now - LOGGED_AFTER + _SOON
        long = [number for number, (begun, _) in self._waits.items() if begun <= due]
        if long:
            begun, name = self._waits[long[0]]
            for number in long:
                del self._waits[number]
            self._log(name, now - begun, others=len(long) - 1)
        if self._waits:
            begun, _ = next(iter(self._waits.values()))
            self._set_timer(max(begun + LOGGED_AFTER - now, _SOON))

    def _log(self, name: str, waited: float, *, others: int) -> None:
        ends = self._quota().resets_at
        left = 0.0 if ends is None else ends.timestamp() - self._clock.time()
        more = f" (and {others} other calls)" if others else ""
        if left > 0:
            _log.info("%s waits for quota, %.1f s in all%s", name, waited + left, more)
        else:
            _log.info("%s has been waiting for quota for %.1f s%s", name, waited, more)


_SOON: Final = 0.5
"""Seconds: waits that are so close to being logged share the line."""
