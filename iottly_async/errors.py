"""The library's errors. All derive from `IottlyError` and carry facts to act on.

```text
    IottlyError
    ├── ConfigurationError (also ValueError)     refused before a byte was sent
    │   └── SetupError                           the program's own state, not an argument
    ├── SessionClosedError
    ├── TransportError                           sent = "no" | "maybe"
    │   ├── ConnectError                         sent = "no"
    │   ├── ProxyError                           sent = "no"
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
    │   ├── StreamClosedError                    with the close code and its reason
    │   └── UnexpectedRedirectError 3xx
    ├── CommandOutcomeUnknownError               sent = "maybe"
    ├── StoreError                               a store of an ingestion failed
    │   └── StoreInUseError                      another job writes to it
    ├── WebhookError                             a webhook was refused
    │   ├── WebhookEncodingError
    │   ├── WebhookSecretError
    │   ├── WebhookTooLargeError
    │   └── WebhookUnavailableError
    ├── WalkError
    │   ├── CursorMismatchError       (also ValueError)
    │   ├── PageOrderError
    │   └── UnstableTieOrderError
    └── DevicesFailedError (also ExceptionGroup) some devices of many; one error each
```

No error holds a header, a key or a whole body. A call raises no error of another library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from attrs import frozen

Sent = Literal["no", "maybe", "yes"]
"""Whether a request was sent: "no", "maybe", or "yes" (it was answered)."""

_FACTS = ("status", "code", "request_id", "retry_after", "sent", "attempts")


class IottlyError(Exception):
    """The base class of the library's errors.

    Attributes:
        status: HTTP status of the answer; None if there was no answer.
        code: the service's name for the error (generation v1); None if it gave none.
        request_id: the service's id of the request (generation v1); None if it gave none.
        retry_after: seconds after which another try makes sense; None if not known.
        sent: "no" if no byte of the request was sent, "maybe" if the request may have
            arrived, "yes" if it was answered; None if the error is not about a request.
        attempts: how many times the request was tried; 0 before the first try.
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
        """Collect the facts, for a structured log.

        Returns:
            A dict with the keys status, code, request_id, retry_after, sent and attempts.
        """
        return {name: getattr(self, name) for name in _FACTS}

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException pickles `args` alone, without the keyword-only facts.
        return (_rebuild, (type(self), str(self), self.__dict__.copy()))


def _rebuild(cls: type[IottlyError], message: str, state: dict[str, Any]) -> IottlyError:
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class ConfigurationError(IottlyError, ValueError):
    """An argument or setting is not accepted; as a rule, nothing was sent.

    The text names the argument, the given value (never a key) and what is accepted.
    """

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("sent", "no")
        super().__init__(message, **facts)


class SetupError(ConfigurationError):
    """The program is set up wrongly: no argument of this call is at fault.

    For example, the session was made before a fork or belongs to another event loop, the
    key is missing, or a store's or Redis's credential is refused. A web application answers
    it with 500, and other errors of configuration with 400.
    """


class SessionClosedError(IottlyError):
    """The session was closed, before the call or during it."""


class TransportError(IottlyError):
    """No usable answer arrived; `sent` says whether the request may have arrived."""


class ConnectError(TransportError):
    """No connection: refused, unreachable, name not found, or too slow; nothing was sent.

    Attributes:
        no_such_host: whether the resolver says that the host's name does not exist. Until the
            service has answered once, that is taken for a mistake in `base_url` and not waited out.
    """

    no_such_host = False


class ProxyError(TransportError):
    """A proxy refused to connect to the service, or there is no connection to the proxy.

    Nothing was sent to the service. The text names the proxy's host and port. `status` is the
    proxy's, or None if there is no connection to it: a 407 needs a user and password in the
    proxy's address, a 403 is the proxy's own rule, and a 5xx may pass.
    """

    @property
    def lasting(self) -> bool:
        """Whether the proxy would refuse another attempt too: any status below 500."""
        return self.status is not None and self.status < 500 and self.status not in (408, 429)


class TLSError(TransportError):
    """The TLS handshake failed: certificate, host name or version; nothing was sent."""


class ConnectionLostError(TransportError):
    """The connection was lost before the head of an answer arrived."""


class TruncatedResponseError(TransportError):
    """The connection was lost within the body of an answer, or the body's framing is broken."""


class ProtocolError(TransportError):
    """The bytes that arrived are not valid HTTP."""


class ResponseTooLargeError(TransportError):
    """The answer is larger, after decompression, than `Config.max_response_bytes`."""


class DeadlineExceededError(TransportError, TimeoutError):
    """The call, or its last attempt, exceeded its time limit."""


class DecodeError(IottlyError):
    """An answer's content does not have the documented form.

    Attributes:
        path: where in the JSON, such as ``$.messages[3].timestamp``. The error's text says
            what was expected there, and never the value that was found.
    """

    path: str

    def __init__(self, message: str = "", *, path: str = "$", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path


class ApiError(IottlyError):
    """The service answered with an error status.

    Attributes:
        from_api: whether the answer has the API's own form. False for the answer of a proxy
            in front of the service, which as a rule is a page of HTML.
    """

    from_api: bool

    def __init__(self, message: str = "", *, from_api: bool = True, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.from_api = from_api


class BadRequestError(ApiError):
    """400: the service did not accept the request."""


class UnauthorizedError(ApiError):
    """401: the key is missing, wrong or revoked."""


class ForbiddenError(ApiError):
    """403: the key is valid and gives no access to this project or device."""


class NotFoundError(ApiError):
    """404: the project, device or command does not exist."""


class ConflictError(ApiError):
    """409: the state of the device or command does not allow the request."""


class DeviceOfflineError(ApiError):
    """The device is not connected (code ``device_offline``, whatever the status)."""


class RateLimitedError(ApiError):
    """429, or the quota has no permit for the request before the call's deadline.

    `retry_after` is the number of seconds until there is one, if that is known.
    """


class ServerError(ApiError):
    """5xx: the service, or a proxy in front of it, failed."""


class StreamClosedError(ApiError):
    """The service accepts a stream's connections and closes them, again and again.

    Five connections in a row carried nothing.

    Attributes:
        close_code: the close code of the last connection (RFC 6455, section 7.4); None if it
            had none.
        close_reason: the text that came with the code, without the key; "" if there was none.
    """

    close_code: int | None
    close_reason: str

    def __init__(
        self,
        message: str = "",
        *,
        close_code: int | None = None,
        close_reason: str = "",
        **facts: Any,
    ) -> None:
        facts.setdefault("sent", "yes")
        super().__init__(message, **facts)
        self.close_code = close_code
        self.close_reason = close_reason


class UnexpectedRedirectError(ApiError):
    """3xx: redirects are never followed, as the credential would be sent along (D12)."""


class CommandOutcomeUnknownError(IottlyError):
    """A command may or may not have reached the device; it was not sent again (D10).

    `__cause__` is the error that left the outcome unknown.
    """

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("sent", "maybe")
        super().__init__(message, **facts)


class StoreError(IottlyError):
    """A store of an ingestion could not be written or read; its contents are still correct."""


class StoreInUseError(StoreError):
    """Another job writes to the store, or another program has it open. Nothing was changed."""


class WalkError(IottlyError):
    """A walk cannot go on without losing or repeating messages."""


class CursorMismatchError(WalkError, ValueError):
    """The cursor belongs to another query, or is not a cursor."""


class PageOrderError(WalkError):
    """The service returned a page whose messages are not in the requested order."""


class UnstableTieOrderError(WalkError):
    """The messages of one millisecond fill several pages, and their order is not stable.

    Attributes:
        timestamp: the millisecond, as ISO text in UTC.
    """

    timestamp: str

    def __init__(self, message: str = "", *, timestamp: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.timestamp = timestamp


@frozen(kw_only=True)
class DeviceFailure:
    """How the work on one device of many has ended.

    Attributes:
        error: what ended it.
        cursor: the `Cursor` from which it goes on; None if nothing was read.
    """

    error: IottlyError
    cursor: Any = None


_NAMED: Final = 3
"""So many devices are named in the text of a `DevicesFailedError`."""


class DevicesFailedError(ExceptionGroup[IottlyError], IottlyError):
    """Some devices of many have failed; all that the others have was yielded before.

    `except*` finds the errors of single devices.

    Example:
        ```python
        try:
            async for batch in project.messages.batches_many():
                store(batch.messages, batch.cursor)
        except DevicesFailedError as failed:
            for device_id, failure in failed.failures.items():
                print(device_id, failure.error, failure.cursor)
        ```

    Attributes:
        failures: of each device that failed, its error and the cursor from which it goes on.
    """

    failures: Mapping[str, DeviceFailure]

    def __new__(
        cls,
        message: str,
        failures: Mapping[str, DeviceFailure],
        **_facts: Any,
    ) -> Self:
        made = super().__new__(cls, message, [failure.error for failure in failures.values()])
        made.failures = MappingProxyType(dict(failures))
        return made

    def __init__(self, message: str, failures: Mapping[str, DeviceFailure], **facts: Any) -> None:
        IottlyError.__init__(self, message, **facts)

    @classmethod
    def of(cls, failures: Mapping[str, DeviceFailure], *, devices: int) -> DevicesFailedError:
        """Make the error of some devices.

        Args:
            failures: by device id; not empty.
            devices: how many there were together.

        Returns:
            The error, whose text names the first of them.
        """
        named = [
            f"{device_id} ({type(failure.error).__name__}: {failure.error})"
            for device_id, failure in [*failures.items()][:_NAMED]
        ]
        more = len(failures) - len(named)
        rest = f"; and {more} more, in `failures`" if more else ""
        text = f"{len(failures)} of {devices} devices failed: {'; '.join(named)}{rest}"
        return cls(text, failures)

    def __str__(self) -> str:
        return self.message

    def derive(self, excs: Sequence[Exception], /) -> DevicesFailedError:  # type: ignore[override]
        """Make a group of some of the errors, as `split`, `subgroup` and `except*` need it.

        Args:
            excs: some of this group's errors.

        Returns:
            The group, with the `failures` of these errors.
        """
        kept = {
            device_id: failure
            for device_id, failure in self.failures.items()
            if any(failure.error is error for error in excs)
        }
        return DevicesFailedError(self.message, kept, **self.facts())

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: value for name, value in self.__dict__.items() if name != "failures"}
        return (_rebuild_group, (type(self), self.message, dict(self.failures), facts))


def _rebuild_group(
    cls: type[DevicesFailedError],
    message: str,
    failures: dict[str, DeviceFailure],
    state: dict[str, Any],
) -> DevicesFailedError:
    error = cls(message, failures)
    error.__dict__.update(state)
    return error


EVERY_DEVICE: Final = (UnauthorizedError, SessionClosedError, ConfigurationError)
"""Errors that every device of many would meet: they end the work on all of them, as themselves."""


class WebhookError(IottlyError):
    """A webhook was refused; answer its sender with `status`."""


class WebhookEncodingError(WebhookError):
    """The webhook's body has a content encoding that is not read; answer 415."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("status", 415)
        super().__init__(message, **facts)


class WebhookSecretError(WebhookError):
    """The header with the shared secret is missing, repeated or wrong; answer 403."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("status", 403)
        super().__init__(message, **facts)


class WebhookTooLargeError(WebhookError):
    """The webhook's body is larger than accepted; answer 413."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("status", 413)
        super().__init__(message, **facts)


class WebhookUnavailableError(WebhookError):
    """Whether the webhook was handled before is not known, as Redis is gone; answer 503."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        facts.setdefault("status", 503)
        super().__init__(message, **facts)
