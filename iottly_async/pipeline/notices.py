"""Tells what happens to the calls of a session: log lines, and events for hooks.

No line and no event holds the key, a body or an id.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Final
from weakref import WeakSet

from ..auth import ApiKey
from ..clock import Clock
from ..errors import IottlyError, TransportError
from ..models import Outage
from ..models._time import epoch_ms, utc_text
from ..wire import Route, one_line
from .call_state import CallState
from .hooks import Hooks, OutageEvent, RetryEvent, notify
from .outage import CallOutcomes, reason_of
from .patience import Patience

_retry_log = logging.getLogger("iottly_async.retry")
_outage_log = logging.getLogger("iottly_async.outage")

_WARNED_AFTER: Final = 10.0
"""Seconds for which a call fails alone before that is worth a warning. A proxy that limits the
rate by 503 lets some calls fail a few times within a second."""

_TOLD_AFTER: Final = 0.4
"""Seconds after which a failure confirms an outage that began with answers of 503. A proxy that
limits the rate lets the next requests pass; the first probe comes later than this."""


class Notices:
    """Log lines and events about retries and outages.

    Args:
        key: is hidden in every line.
        clock: the time.
    """

    def __init__(self, key: ApiKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._watching: WeakSet[Hooks] = WeakSet()
        self._unconfirmed_at: float | None = None

    def watch(self, hooks: Hooks) -> None:
        """Tell these hooks of outages, which are the session's and not of one view.

        Args:
            hooks: of the session or of a view; told as long as that is in use.
        """
        self._watching.add(hooks)

    def retry(
        self,
        route: Route,
        hooks: tuple[Hooks, ...],
        error: IottlyError,
        seconds: float,
        state: CallState,
    ) -> None:
        """An attempt failed, and another follows.

        Args:
            route: of the call.
            hooks: of the view that made it.
            error: that the attempt met.
            seconds: until the next attempt.
            state: of the call.
        """
        attempt, reason = state.attempts, reason_of(error)
        if error.status == 429:
            _retry_log.debug("%s: attempt %d was refused (429)", route.name, attempt)
        else:
            _retry_log.debug(
                "%s: attempt %d failed (%s); the next one is in %.1f s",
                *(route.name, attempt, reason, seconds),
            )
        if state.patience is not None:
            self._warn_if_alone(route, reason, state.outcomes, state.patience)
        if hooks:
            event = RetryEvent(route.template, attempt, error.status, seconds, type(error).__name__)
            notify(hooks, event)

    def _warn_if_alone(
        self, route: Route, reason: str, outcomes: CallOutcomes, patience: Patience
    ) -> None:
        lasts = self._clock.monotonic() - outcomes.first_at >= _WARNED_AFTER
        if lasts and outcomes.fails_alone and not outcomes.warned:
            outcomes.warned = True
            _retry_log.warning(
                "%s fails (%s) while other calls succeed; it is tried again %s",
                *(route.name, reason, _for_how_long(patience.seconds)),
            )

    def outage_began(self, outage: Outage, error: IottlyError, patience: float) -> None:
        """The service is away; told at once, or by `outage_goes_on` if it is a proxy's 503.

        Args:
            outage: that began.
            error: of the last attempt.
            patience: seconds that work which goes by itself waits.
        """
        if error.status == 503:
            self._unconfirmed_at = self._clock.monotonic()
        else:
            self._tell_outage(outage, error, patience)

    def outage_goes_on(self, outage: Outage, error: IottlyError, patience: float) -> None:
        """Another attempt failed during an outage.

        Args:
            outage: that goes on.
            error: of the attempt.
            patience: seconds that work which goes by itself waits.
        """
        at = self._unconfirmed_at
        if at is not None and self._clock.monotonic() - at >= _TOLD_AFTER:
            self._unconfirmed_at = None
            self._tell_outage(outage, error, patience)

    def _tell_outage(self, outage: Outage, error: IottlyError, patience: float) -> None:
        # The text of such an error is the library's own; those of others hold the service's.
        own = isinstance(error, TransportError)
        _outage_log.warning(
            "the service is away since %s (%s%s); work that goes by itself waits %s",
            utc_text(epoch_ms(outage.since)),
            outage.reason,
            f": {self._key.hidden_in(one_line(str(error)))}" if own else "",
            _for_how_long(patience),
        )
        notify(tuple(self._watching), OutageEvent("began", outage.reason, outage.seconds))

    def outage_ended(self, outage: Outage) -> None:
        """The service is back.

        Args:
            outage: that ended.
        """
        if self._unconfirmed_at is not None:
            self._unconfirmed_at = None  # it was a few answers of 503 among successes
            return
        _outage_log.info("the service is back after %.1f s", outage.seconds)
        notify(tuple(self._watching), OutageEvent("ended", outage.reason, outage.seconds))


def _for_how_long(seconds: float) -> str:
    return "without end" if seconds == inf else f"for up to {seconds:g} s"
