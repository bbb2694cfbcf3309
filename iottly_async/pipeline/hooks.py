"""Hooks: a user's functions that are called with what happens to a session's calls.

An event holds a route's template and numbers, and never a key, a body or an id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from ..errors import ConfigurationError

_log = logging.getLogger("iottly_async")


@frozen
class RequestEvent:
    """A request is about to be sent. A `ResponseEvent` follows in the same task.

    Attributes:
        route: method and path without ids, such as "GET /v1/devices/{device}".
        attempt: of the call, from 1.
    """

    route: str
    attempt: int


@frozen
class ResponseEvent:
    """A request has ended, by an answer or without one.

    Attributes:
        route: method and path without ids.
        attempt: of the call, from 1.
        status: of the answer; None if none arrived.
        seconds: since the request was sent.
        error: the class of the error if no answer arrived, or "CancelledError"; None if one
            arrived.
    """

    route: str
    attempt: int
    status: int | None
    seconds: float
    error: str | None = None


@frozen
class RetryEvent:
    """An attempt failed, and another one follows.

    Attributes:
        route: method and path without ids.
        attempt: that failed, from 1.
        status: of its answer; None if none arrived.
        seconds: to wait before the next attempt; 0 after a 429, where the quota decides. In an
            outage, the seconds until the next probe of the service.
        reason: the class of the error.
    """

    route: str
    attempt: int
    status: int | None
    seconds: float
    reason: str


@frozen
class WaitEvent:
    """A call has waited for more than a second.

    Attributes:
        route: method and path without ids.
        reason: what it waited for: "quota".
        seconds: how long.
    """

    route: str
    reason: Literal["quota"]
    seconds: float


@frozen
class OutageEvent:
    """An outage of the service began or ended.

    Attributes:
        state: "began" or "ended".
        reason: how the last attempt failed, such as "ServerError 503" or "ConnectError".
        seconds: since the first of the attempts that failed.
    """

    state: Literal["began", "ended"]
    reason: str
    seconds: float


@frozen
class FailureEvent:
    """A device is given up by `follow_many`: its error does not pass.

    Attributes:
        route: method and path without ids.
        status: of the answer; None if none arrived.
        error: the class of the error.
    """

    route: str
    status: int | None
    error: str


@frozen
class CallEvent:
    """A call has ended.

    Attributes:
        route: method and path without ids.
        attempts: requests of the call.
        status: of the error it ended with; None if it succeeded, or no answer arrived.
        seconds: since the call began, with all waits.
        error: the class of the error it ended with; None if it succeeded.
    """

    route: str
    attempts: int
    status: int | None
    seconds: float
    error: str | None = None


HookEvent: TypeAlias = (
    RequestEvent | ResponseEvent | RetryEvent | WaitEvent | OutageEvent | FailureEvent | CallEvent
)


@frozen(kw_only=True, eq=False)
class Hooks:
    """Functions that a session calls with what happens, for metrics, traces and logs.

    They are called in the task of the call, and must return soon. One that raises is logged
    once, and does not end the call.

    Example:
        ```python
        hooks = Hooks(response=lambda event: print(event.route, event.status, event.seconds))
        async with IottlySession(hooks=hooks) as session:
            await session.ping()
        ```

    Attributes:
        request: called before a request is sent, with a `RequestEvent`.
        response: called when it has ended, with a `ResponseEvent`.
        retry: called when an attempt failed and another follows, with a `RetryEvent`.
        wait: called when a call has waited more than a second for quota, with a `WaitEvent`.
        outage: called when an outage begins and when it ends, with an `OutageEvent`.
        failure: called when `follow_many` gives up a device, with a `FailureEvent`.
        call: called when a call has ended, with a `CallEvent`.
        raised: the names of those that have raised; kept by the session.

    Raises:
        ConfigurationError: one of them cannot be called.
    """

    request: Callable[[RequestEvent], object] | None = None
    response: Callable[[ResponseEvent], object] | None = None
    retry: Callable[[RetryEvent], object] | None = None
    wait: Callable[[WaitEvent], object] | None = None
    outage: Callable[[OutageEvent], object] | None = None
    failure: Callable[[FailureEvent], object] | None = None
    call: Callable[[CallEvent], object] | None = None
    raised: set[str] = field(init=False, factory=set, repr=False)

    def __attrs_post_init__(self) -> None:
        for name in _NAMES.values():
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise ConfigurationError(
                    f"the hook {name} must be a function of one event, not {type(hook).__name__}"
                )


_NAMES: Final[dict[type, str]] = {
    RequestEvent: "request",
    ResponseEvent: "response",
    RetryEvent: "retry",
    WaitEvent: "wait",
    OutageEvent: "outage",
    FailureEvent: "failure",
    CallEvent: "call",
}


def notify(hooks: Iterable[Hooks], event: HookEvent) -> None:
    """Call the hooks that there are for this event.

    Args:
        hooks: of a session or a view. What one of them raises is logged, once.
        event: what happened.
    """
    name = _NAMES[type(event)]
    for each in hooks:
        hook = getattr(each, name)
        if hook is None:
            continue
        try:
            hook(event)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            if name not in each.raised:
                each.raised.add(name)
                # Its text and traceback may hold anything, and are the user's to log.
                _log.warning(
                    "the hook %s raised %s; it is called again, and this is not logged again",
                    name,
                    type(error).__name__,
                )
