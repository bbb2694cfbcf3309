"""What a failed attempt means for the retry decision, and which error a call ends with."""

from __future__ import annotations

from typing import Any, Final

from ..aio.deadlines import Deadline
from ..errors import (
    CommandOutcomeUnknownError,
    DeadlineExceededError,
    DecodeError,
    IottlyError,
    ProtocolError,
    ProxyError,
    ResponseTooLargeError,
    SessionClosedError,
    TLSError,
    TransportError,
)
from ..retry import Failure
from ..wire import Answer, Request, explain, is_api_error, one_line
from .call_state import CallState
from .options import Options

_LASTING: Final = (TLSError, ProtocolError, ResponseTooLargeError)


def failure_of(error: IottlyError, state: CallState) -> Failure:
    """What the error of an attempt means for the retry decision."""
    if isinstance(error, TransportError):
        outgoing = state.outgoing
        return Failure(
            sent=state.sent,
            timed_out=isinstance(error, DeadlineExceededError),
            lasting=isinstance(error, _LASTING)
            or (isinstance(error, ProxyError) and error.lasting),
            stray=isinstance(error, ProtocolError)
            and outgoing is not None
            and outgoing.kept
            and outgoing.method == "GET"
            and not state.strays,
        )
    answer = state.answer
    return Failure(
        status=error.status,
        sent="yes",
        retry_after=error.retry_after,
        from_api=answer is not None and is_api_error(answer),
        lasting=isinstance(error, DecodeError),
    )


def final_error(
    request: Request[Any], error: IottlyError, failure: Failure, shown: Answer | None = None
) -> IottlyError:
    """The error to raise for a call whose last attempt failed.

    Args:
        request: the call.
        error: of the last attempt.
        failure: what it means.
        shown: the answer to a command, without the key; None if there was none.
    """
    route = request.route
    if not route.command or failure.sent == "no" or _refused(failure):
        return _named(request, error)
    return _unknown(request, error, shown)


def _named(request: Request[Any], error: IottlyError) -> IottlyError:
    """The error with the name of the call."""
    if isinstance(error, DecodeError):
        error.sent = "yes"
        error.path = one_line(error.path)  # its names are the service's, of any length
        error.args = (f"{request.route.name}: {error} at {error.path}",)
    return error


def _refused(failure: Failure) -> bool:
    """Whether the answer to a command says that it was not taken."""
    if failure.status is None or failure.status == 408:
        return False
    return 300 <= failure.status < 500 and (failure.status != 429 or failure.from_api)


def _unknown(
    request: Request[Any], error: IottlyError, shown: Answer | None = None
) -> CommandOutcomeUnknownError:
    """The error for a command that may have reached the device.

    Its text has the service's own, so that a mistake of the caller does not look like one of
    the network (D16).
    """
    named = _named(request, error)
    said = str(named)
    if shown is not None:
        answered = explain(request.route, shown)
        said = f"{said}; {answered}" if shown.status < 300 else answered
    unknown = CommandOutcomeUnknownError(
        f"{request.route.name}: the device may or may not have received the command, "
        f"and it was not sent again: {said}",
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
    unknown.__cause__ = named
    return unknown


def closed_error(state: CallState) -> SessionClosedError:
    """The error of a call that was under way when the session closed."""
    return SessionClosedError("the session was closed during this call", sent=state.sent)


def ended_error(
    request: Request[Any], options: Options, deadline: Deadline, state: CallState
) -> IottlyError:
    """The error of a call that its deadline ended, by time or because the session closed."""
    if deadline.closed:
        return closed_error(state)
    error = DeadlineExceededError(
        f"{request.route.name}: not done within timeout, {options.timeout:g} s", sent=state.sent
    )
    may_have_left = request.route.command and state.sent == "maybe"
    return _unknown(request, error) if may_have_left else error
