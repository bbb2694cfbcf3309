"""Requests and answers as values. Pure.

A `Route` is one call of the API, a `Request` is a call with its arguments, and an `Answer` is
what the service returned. This file has paths, methods, statuses and headers; the names in
bodies and queries are in `codec`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
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
from .times import http_date, retry_after

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Method = Literal["GET", "PUT", "POST"]

LONGEST_ERROR_TEXT: Final = 300
_REFUSED: Final = frozenset("/\\?#%")
_EXCERPT: Final = 4096
"""Bytes of a page from which an excerpt is taken."""
_TAGS: Final = re.compile(
    r"<(script|style|head)\b.*?</\1\s*>|<(?!redacted>)[^>]*>?", re.DOTALL | re.IGNORECASE
)
_UNDECLARED: Final = (
    " (the project API may also answer 500 for a command type that the project does not declare, "
    "or for a device that it does not have)"
)


@frozen
class Route:
    """One call of the API.

    Attributes:
        name: in logs and metrics, such as "messages.page".
        method: of HTTP.
        generation: of the API; it decides the base path, the credential and the form of
            errors.
        path: below the generation, with names of arguments in braces.
        command: whether the call makes a device act; such a call is never sent twice (D10).
    """

    name: str
    method: Method
    generation: Generation
    path: str = ""
    command: bool = field(default=False, kw_only=True)

    @property
    def template(self) -> str:
        """Method and path without any id, such as "GET /v1/devices/{device}"."""
        return f"{self.method} /{self.generation}/{self.path or self.name}"


# `Answer` and `Request` are not frozen: that would double the cost of making them.
@define
class Answer:
    """The answer to one request.

    Attributes:
        status: of HTTP.
        headers: by lower-case name; of a repeated header the first value.
        body: whole, after decompression.
    """

    status: int
    # Neither belongs in a log, and tracebacks with locals would be as long.
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def server_time(self) -> float | None:
        """Whole seconds since the epoch by the server's clock; None without a Date header."""
        date = self.headers.get("date")
        return None if date is None else http_date(date)

    @property
    def retry_after(self) -> float | None:
        """Seconds of the Retry-After header (RFC 9110, section 10.2.3).

        A date is read against the answer's own Date. None if the header is absent or invalid.
        """
        return retry_after(self.headers)


@define
class Request(Generic[T_co]):
    """One call with its arguments.

    Attributes:
        route: the call.
        target: path and query, percent-encoded.
        read: turns the answer of a successful call into its result.
        body: JSON; None if the request has no body.
        empty_on_404: makes the result of the API's own 404 (D4); None if a 404 is an error.
    """

    route: Route
    target: str
    read: Callable[[Answer], T_co]
    body: bytes | None = None
    empty_on_404: Callable[[Answer], T_co] | None = None


def segment(value: object, *, name: str) -> str:
    """Encode an id as one segment of a path.

    Args:
        value: what the caller gave.
        name: of the argument, for the error.

    Returns:
        The id, percent-encoded.

    Raises:
        ConfigurationError: the id could change the shape of the path: it is empty, ``.`` or
            ``..``, or has a control character or one of ``/ \\ ? # %``.
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
    """Put path and query of a request together; the segments of the path are encoded already."""
    text = f"/{generation}/{'/'.join(path)}"
    if not query:
        return text
    return f"{text}?{'&'.join([f'{name}={_quoted(value)}' for name, value in query])}"


_PLAIN: Final = re.compile(r"[0-9A-Za-z_.~:-]*", re.ASCII)


def _quoted(value: str) -> str:
    # Times, numbers and words need no quoting, and quote() is slow.
    return value if _PLAIN.fullmatch(value) else quote(value, safe=":")


def read_answer(request: Request[T], answer: Answer) -> T:
    """Read the result of a call from its answer.

    Args:
        request: the call.
        answer: to it.

    Returns:
        The call's result.

    Raises:
        ApiError: the status is not a success; status and code decide its class.
        DecodeError: the body does not have the documented form.
    """
    if 200 <= answer.status < 300:
        return request.read(answer)
    own = read_error(answer.body)
    if answer.status == 404 and own is not None and request.empty_on_404 is not None:
        return request.empty_on_404(answer)
    raise _error(request.route, answer, own)


def is_api_error(answer: Answer) -> bool:
    """Say whether an error answer is the API's own, and not that of a proxy in front of it."""
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
        from_api=own is not None,
    )


def _kind(status: int, code: str | None) -> type[ApiError]:
    if code == "device_offline":
        return DeviceOfflineError
    if 300 <= status < 400:
        return UnexpectedRedirectError
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, ApiError)


def explain(route: Route, answer: Answer) -> str:
    """Say what a command was answered, for an error's text (D16).

    Args:
        route: the command.
        answer: to it, without the key.

    Returns:
        The status, and the service's own text or the visible text of a page, on one line.
    """
    own = read_error(answer.body)
    if own is None:
        kind = _short(answer.headers.get("content-type")) or "no type"
        text = one_line(_TAGS.sub(" ", answer.body[:_EXCERPT].decode("utf-8", "replace")))
        return f"{answer.status}, not in the API's own form ({kind}): {' '.join(text.split())}"
    said = f"{answer.status} {_short(own[0]) or 'without an explanation'}"
    if answer.status == 500 and route.generation == "v1.0":
        said += _UNDECLARED
    return said


def _explained(answer: Answer, text: str | None, own: bool) -> str:
    if 300 <= answer.status < 400:
        return "a redirect, which is not followed: the credential would be sent along"
    if own:
        return _short(text) or "without an explanation"
    kind = _short(answer.headers.get("content-type")) or "no type"
    return f"not in the API's own form ({kind}, {len(answer.body)} bytes); a proxy's, perhaps"


def _short(text: str | None) -> str | None:
    return None if text is None else one_line(text)


def one_line(text: str) -> str:
    """Make a text of the service fit for one line of a log."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= LONGEST_ERROR_TEXT else line[:LONGEST_ERROR_TEXT] + "…"
