"""The errors, one root, each carrying the facts that a caller acts on.

::

    IottlyError
    ├── ConfigurationError (also ValueError)     refused before a byte was sent
    ├── SessionClosedError
    ├── TransportError                           sent = "no" | "maybe"
    │   ├── ConnectError                         sent = "no"
    │   ├── TLSError                             sent = "no"
    │   ├── ConnectionLostError
    │   ├── TruncatedResponseError
    │   ├── ProtocolError
    │   ├── ResponseTooLargeError
    │   └── DeadlineExceededError (also TimeoutError)
    ├── DecodeError                              the JSON path, never the value
    ├── ApiError
    │   ├── BadRequestError 400
    │   ├── UnauthorizedError 401
    │   ├── ForbiddenError 403
    │   ├── NotFoundError 404
    │   ├── ConflictError 409
    │   ├── DeviceOfflineError                   code "device_offline"
    │   ├── RateLimitedError 429
    │   ├── ServerError 5xx
    │   └── UnexpectedRedirectError 3xx
    ├── CommandOutcomeUnknownError               sent = "maybe"
    ├── StoreError                               an ingestion's store failed
    ├── WebhookError                             what arrived was refused
    │   ├── WebhookSecretError
    │   └── WebhookTooLargeError
    └── WalkError
        ├── CursorMismatchError
        ├── PageOrderError
        └── UnstableTieOrderError

No error holds a header, a key, or a whole body, and none of another library
escapes from a call.
"""

from __future__ import annotations

from typing import Any, Literal

Sent = Literal["no", "maybe", "yes"]
"""Whether the request left: surely not, perhaps, or surely (it was answered)."""

_FACTS = ("status", "code", "request_id", "retry_after", "sent", "attempts")


class IottlyError(Exception):
    """The root of every error that the library raises on its own account.

    Attributes:
        status: HTTP status of the answer; None when there was no answer.
        code: the service's own word for the error (generation v1); None where it gave none.
        request_id: the service's id of the request (generation v1); None where it gave none.
        retry_after: seconds after which another try makes sense; None when not known.
        sent: "no" when the request surely never left, "maybe" when it may have
            arrived, "yes" when it was answered; None where no request is concerned.
        attempts: how many times the request was tried; 0 before the first.
    """

    status: int | None
    code: str | None
    request_id: str | None
    retry_after: float | None
    sent: Sent | None
    attempts: int

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        sent: Sent | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.sent = sent
        self.attempts = attempts

    def facts(self) -> dict[str, Any]:
        """The facts as a mapping, for a structured log: status, code, request_id, ..."""
        return {name: getattr(self, name) for name in _FACTS}

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only facts do not survive BaseException's own pickling by `args`.
        return (_rebuild, (type(self), str(self), self.__dict__.copy()))


def _rebuild(cls: type[IottlyError], message: str, state: dict[str, Any]) -> IottlyError:
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class ConfigurationError(IottlyError, ValueError):
    """An argument or setting was refused before a byte was sent.

    The text names the argument, what was given (never a key) and what is accepted.
    """

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("sent", "no")
        super().__init__(message, **facts)


class SessionClosedError(IottlyError):
    """The session was closed: before the call, or under it by `aclose()`."""


class TransportError(IottlyError):
    """No usable answer arrived; `sent` tells whether the request may have."""


class ConnectError(TransportError):
    """No connection: refused, unreachable, name not found, or too slow. Nothing was sent."""


class TLSError(TransportError):
    """The TLS handshake failed: certificate, host name or protocol. Nothing was sent."""


class ConnectionLostError(TransportError):
    """The connection ended before the head of an answer arrived."""


class TruncatedResponseError(TransportError):
    """The connection ended within the body of an answer, or the body's framing was broken."""


class ProtocolError(TransportError):
    """What arrived is not HTTP as it should be."""


class ResponseTooLargeError(TransportError):
    """The answer is larger, decoded, than `Config.max_response_bytes`."""


class DeadlineExceededError(TransportError, TimeoutError):
    """The call's deadline, or the last attempt's, passed."""


class DecodeError(IottlyError):
    """An answer's content does not have the documented form.

    Attributes:
        path: where in the JSON it is, such as ``$.messages[3].timestamp``; the text
            tells what was expected there, never what stood there.
    """

    path: str

    def __init__(self, message: str = "", *, path: str = "$", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path


class ApiError(IottlyError):
    """The service answered with an error status."""


class BadRequestError(ApiError):
    """400: the service did not accept the request as written."""


class UnauthorizedError(ApiError):
    """401: the key is missing, wrong or revoked."""


class ForbiddenError(ApiError):
    """403: the key is valid and gives no access to this project or device."""


class NotFoundError(ApiError):
    """404: there is no such thing."""


class ConflictError(ApiError):
    """409: the state of the thing forbids it."""


class DeviceOfflineError(ApiError):
    """The device is not connected (code ``device_offline``, whatever the status)."""


class RateLimitedError(ApiError):
    """429, or a turn within the quota that cannot come before the call's deadline.

    `retry_after` says in how many seconds there would be one, where that is known.
    """


class ServerError(ApiError):
    """5xx: the service, or a proxy before it, failed."""


class UnexpectedRedirectError(ApiError):
    """3xx: redirects are never followed, the credential would travel along (D12)."""


class CommandOutcomeUnknownError(IottlyError):
    """A command may or may not have reached the device; it was not sent again (D10).

    `__cause__` is the error that left it open.
    """

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("sent", "maybe")
        super().__init__(message, **facts)


class StoreError(IottlyError):
    """A store of an ingestion could not write or be read; what it holds is still right."""


class WalkError(IottlyError):
    """A walk over messages cannot go on without losing or repeating some."""


class CursorMismatchError(WalkError):
    """The cursor belongs to another query, or is not a cursor."""


class PageOrderError(WalkError):
    """The service returned a page whose times are not in the order asked for."""


class UnstableTieOrderError(WalkError):
    """The messages of one millisecond fill pages and their order is not stable.

    Attributes:
        timestamp: the millisecond, as ISO text in UTC.
    """

    timestamp: str

    def __init__(self, message: str = "", *, timestamp: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.timestamp = timestamp


class WebhookError(IottlyError):
    """A webhook that arrived was refused; `status` is what to answer its sender."""


class WebhookSecretError(WebhookError):
    """The header with the shared secret is missing, repeated or wrong: answer 403."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("status", 403)
        super().__init__(message, **facts)


class WebhookTooLargeError(WebhookError):
    """The webhook's body is larger than is accepted: answer 413."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("status", 413)
        super().__init__(message, **facts)
