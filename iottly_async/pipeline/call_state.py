"""How far a call is, and which error its caller is given when it fails."""

from __future__ import annotations

from typing import Final, TypeVar

from ..aio.deadlines import Deadline
from ..errors import (
    CommandOutcomeUnknownError,
    DeadlineExceededError,
    DecodeError,
    IottlyError,
    ProtocolError,
    ResponseTooLargeError,
    Sent,
    SessionClosedError,
    TLSError,
    TransportError,
)
from ..retry import Failure
from ..transport import Outgoing
from ..wire import Answer, Request, is_api_error, one_line
from .options import Options

T = TypeVar("T")

_LASTING: Final = (TLSError, ProtocolError, ResponseTooLargeError)


class CallState:
    """How far one call is: what its errors tell."""

    __slots__ = ("answer", "attempts", "left", "outgoing", "paid", "refusals")

    def __init__(self) -> None:
        self.attempts = 0
        self.refusals = 0
        self.paid = 0
        self.outgoing: Outgoing | None = None
        self.answer: Answer | None = None
        self.left = False
        """Whether an attempt before the present one may have reached the service."""

    @property
    def sent(self) -> Sent:
        """Whether the call, as far as it got, may have reached the service."""
        under_way = self.outgoing is not None and self.outgoing.may_have_left
        return "maybe" if self.left or under_way else "no"

    def settle(self, *, not_taken: bool) -> None:
        """The attempt under way failed; `not_taken` when the service surely did not act."""
        self.left = self.sent == "maybe" and not not_taken
        self.outgoing = None


def failure_of(error: IottlyError, course: CallState) -> Failure:
    if isinstance(error, TransportError):
        return Failure(
            sent=course.sent,
            timed_out=isinstance(error, DeadlineExceededError),
            lasting=isinstance(error, _LASTING),
        )
    answer = course.answer
    return Failure(
        status=error.status,
        sent="yes",
        retry_after=error.retry_after,
        from_api=answer is not None and is_api_error(answer),
        lasting=isinstance(error, DecodeError),
    )


def final(request: Request[T], error: IottlyError, failure: Failure) -> IottlyError:
    """The error to raise for a call's last failure."""
    route = request.route
    if isinstance(error, DecodeError):
        error.sent = "yes"
        error.path = one_line(error.path)  # its names are the service's, of any length
        error.args = (f"{route.name}: {error} at {error.path}",)
    if not route.command or failure.sent == "no" or _refused(failure):
        return error
    return unknown(request, error)


def _refused(failure: Failure) -> bool:
    """Whether the answer to a command says that it was not taken."""
    if failure.status is None or failure.status == 408:
        return False
    return 300 <= failure.status < 500 and (failure.status != 429 or failure.from_api)


def unknown(request: Request[T], error: IottlyError) -> CommandOutcomeUnknownError:
    unknown = CommandOutcomeUnknownError(
        f"{request.route.name}: the device may or may not have got the command, "
        "and it was not sent again",
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
    unknown.__cause__ = error
    return unknown


def closed(course: CallState) -> SessionClosedError:
    return SessionClosedError("the session was closed during this call", sent=course.sent)


def ended(
    request: Request[T], options: Options, deadline: Deadline, course: CallState
) -> IottlyError:
    """The error of a call that its scope ended: its time was up, or the session closed."""
    if deadline.closed:
        return closed(course)
    error = DeadlineExceededError(
        f"{request.route.name}: not done within timeout, {options.timeout:g} s", sent=course.sent
    )
    command_left = request.route.command and course.sent == "maybe"
    return unknown(request, error) if command_left else error
