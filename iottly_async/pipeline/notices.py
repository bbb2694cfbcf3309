"""Tells what happens to the calls of a session: log lines, and events for hooks.

No line and no event holds the key, a body or an id.
"""

from __future__ import annotations

import logging
from math import inf
from weakref import WeakSet

from ..auth import ApiKey
from ..errors import IottlyError, TransportError
from ..models import Outage
from ..wire import Route, one_line
from .call_state import CallState
from .hooks import Hooks, OutageEvent, RetryEvent, notify
from .outage import reason_of

_retry_log = logging.getLogger("iottly_async.retry")
_outage_log = logging.getLogger("iottly_async.outage")


class Notices:
    """Log lines and events about retries and outages.

    Args:
        key: is hidden in every line.
    """

    def __init__(self, key: ApiKey) -> None:
        self._key = key
        self._watching: WeakSet[Hooks] = WeakSet()

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
        outcomes = state.outcomes
        if state.patience is not None and outcomes.fails_alone and not outcomes.warned:
            outcomes.warned = True
            _retry_log.warning(
                "%s fails (%s) while other calls succeed; it is tried again %s",
                *(route.name, reason, _for_how_long(state.patience.seconds)),
            )
        if hooks:
            event = RetryEvent(route.template, attempt, error.status, seconds, type(error).__name__)
            notify(hooks, event)

    def outage_began(self, outage: Outage, error: IottlyError, patience: float) -> None:
        """The service is away.

        Args:
            outage: that began.
            error: of the last attempt.
            patience: seconds that work which goes by itself waits.
        """
        # The text of such an error is the library's own; those of others hold the service's.
        own = isinstance(error, TransportError)
        _outage_log.warning(
            "the service is away since %s (%s%s); work that goes by itself waits %s",
            outage.since.isoformat(timespec="seconds"),
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
        _outage_log.info("the service is back after %.1f s", outage.seconds)
        notify(tuple(self._watching), OutageEvent("ended", outage.reason, outage.seconds))


def _for_how_long(seconds: float) -> str:
    return "without end" if seconds == inf else f"for up to {seconds:g} s"
