"""Requests as they are sent and answers as they are read: pure, no await.

A `Route` is a call of the API's tables, a `Request` is one such call with its
arguments, an `Answer` is what came back. Names within bodies and queries are the
codec's; here are paths, methods, statuses and headers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import quote

from attrs import define, field, frozen

from .auth import Generation
from .codec import read_error
from .errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    DeviceOfflineError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedRedirectError,
)
from .times import http_date

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Method = Literal["GET", "PUT", "POST"]

LONGEST_ERROR_TEXT: Final = 300
_REFUSED: Final = frozenset("/\\?#%")


@frozen
class Route:
    """One call of the API.

    Attributes:
        name: as it is called in logs and metrics, such as "messages.page".
        method: of HTTP.
        generation: which API, and so which base path, credential and error form.
        command: whether it makes a device act: such a call is never sent twice (D10).
    """

    name: str
    method: Method
    generation: Generation
    command: bool = False


# This and `Request` are not frozen: it would double what their making costs, once a page.
@define
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: looked up by lower-case name; of repeated ones the first.
        body: decoded of its content encoding, whole.
    """

    status: int
    # Neither belongs in a log, and a traceback with locals would be as long as they are.
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def server_time(self) -> float | None:
        """Seconds since the epoch by the server's clock, whole; None without a Date."""
        date = self.headers.get("date")
        return None if date is None else http_date(date)

    @property
    def retry_after(self) -> float | None:
        """Seconds of Retry-After, plain or as a date read against the answer's own Date.

        None where it is absent or neither (RFC 9110, section 10.2.3).
        """
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdecimal():
            asked = float(text)
            return asked if isfinite(asked) else None
        date, now = http_date(text), self.server_time
        return None if date is None or now is None else max(date - now, 0.0)


@define
class Request(Generic[T_co]):
    """One call with its arguments.

    Attributes:
        route: which call.
        target: path and query from the host on, percent-encoded.
        read: turns the answer of a success into the call's result.
        body: JSON, or None.
        empty_on_404: what an API's own 404 means here, where it is no error (D4).
    """

    route: Route
    target: str
    read: Callable[[Answer], T_co]
    body: bytes | None = None
    empty_on_404: Callable[[Answer], T_co] | None = None


def segment(value: object, *, name: str) -> str:
    """An id as one segment of a path, percent-encoded.

    Raises:
        ConfigurationError: it could change the shape of the path: empty, ``.``, ``..``,
            or with a control character or one of ``/ \\ ? # %``.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a text, not {value!r}")
    if value in ("", ".", ".."):
        raise ConfigurationError(f"{name} must be an id, not {value!r}")
    if not _REFUSED.isdisjoint(value) or not value.isprintable():
        raise ConfigurationError(
            f"{name} must be an id, without control characters and / \\ ? # %, not {value[:80]!r}"
        )
    return quote(value, safe="")


def target(
    generation: Generation, path: Sequence[str], query: Sequence[tuple[str, str]] = ()
) -> str:
    """Path and query of a request; the path's parts are segments already encoded."""
    text = f"/{generation}/{'/'.join(path)}"
    if not query:
        return text
    return f"{text}?{'&'.join([f'{name}={_quoted(value)}' for name, value in query])}"


_PLAIN: Final = re.compile(r"[0-9A-Za-z_.~:-]*", re.ASCII)


def _quoted(value: str) -> str:
    # Times, numbers and words need no quoting, and quote() is slow to find that out.
    return value if _PLAIN.fullmatch(value) else quote(value, safe=":")


def read_answer(request: Request[T], answer: Answer) -> T:
    """The call's result out of its answer.

    Raises:
        ApiError: the status is no success; the kind of it by status and code.
        DecodeError: the body does not have the documented form.
    """
    if 200 <= answer.status < 300:
        return request.read(answer)
    own = read_error(answer.body)
    if answer.status == 404 and own is not None and request.empty_on_404 is not None:
        return request.empty_on_404(answer)
    raise _error(request.route, answer, own)


def is_api_error(answer: Answer) -> bool:
    """Whether an error answer is the API's own, and not a proxy's before it."""
    return read_error(answer.body) is not None


_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}


def _error(
    route: Route, answer: Answer, own: tuple[str | None, str | None, str | None] | None
) -> ApiError:
    text, code, request_id = own or (None, None, None)
    return _kind(answer.status, code)(
        f"{route.name}: {answer.status} {_explained(answer, text, own is not None)}",
        status=answer.status,
        code=_short(code),
        request_id=_short(request_id),
        retry_after=answer.retry_after,
        sent="yes",
    )


def _kind(status: int, code: str | None) -> type[ApiError]:
    if code == "device_offline":
        return DeviceOfflineError
    if 300 <= status < 400:
        return UnexpectedRedirectError
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, ApiError)


def _explained(answer: Answer, text: str | None, own: bool) -> str:
    if 300 <= answer.status < 400:
        return "a redirect, which is not followed: the credential would travel with it"
    if own:
        return _short(text) or "without an explanation"
    kind = _short(answer.headers.get("content-type")) or "no type"
    return f"not in the API's own form ({kind}, {len(answer.body)} bytes); a proxy's, perhaps"


def _short(text: str | None) -> str | None:
    return None if text is None else one_line(text)


def one_line(text: str) -> str:
    """A text of the service's, fit for one line of a log."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= LONGEST_ERROR_TEXT else line[:LONGEST_ERROR_TEXT] + "…"
