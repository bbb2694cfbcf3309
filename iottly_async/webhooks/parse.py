"""Checks the sender of a webhook and reads its message, in any web framework.

The documents offer one means to recognise the sender: a header of the user's choice, which
the platform sends with every webhook. Its value is a shared secret:

```python
message = parse_webhook(body, headers=request.headers, secret=SECRET)
```

A static secret is no signature, and gives **no protection against replay**. It does not depend
on the body, so anyone who has seen one request (a proxy, a log, a debugger) can send anything,
any number of times, until the secret is changed. Use https, and keep headers out of logs. If a
webhook triggers an action, fetch the message from the service instead of trusting the body.
`SeenKeys` drops repeated deliveries for as long as it remembers them; it prevents handling a
message twice, but it is no defence against an attacker. `RedisSeenKeys` does the same for
several workers.

A body may be JSON, a form ``msg=<json>``, and either of them compressed by gzip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final, Literal, overload

from ..codec import decode_webhook, decode_webhook_payload
from ..config import whole
from ..errors import (
    ConfigurationError,
    WebhookEncodingError,
    WebhookSecretError,
    WebhookTooLargeError,
)
from ..models import Message
from .body import decompressed, form_field

Headers = Mapping[str, str | Sequence[str]]
"""The headers of a request: names in any case, and of each its value, or the list of its values
as gateways give it."""

Secret = str | Sequence[str]
"""One shared secret, or several, such as the old and the new one during a change."""

DEFAULT_HEADER: Final = "X-Iottly-Secret"
"""The default name of the header with the secret; the name is this library's choice."""

MAX_BYTES: Final = 1024 * 1024
"""The default size of the largest body that is accepted, in bytes: 1 MiB."""

_GZIP_NAMES: Final = ("gzip", "x-gzip")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class WebhookReceiver:
    """Checks and reads webhooks; use one receiver for all webhooks of a server.

    A server can call `check` and `check_size` before it reads the body. The receiver keeps
    digests of the secrets, not the secrets, and no state between webhooks.

    Example:
        ```python
        receiver = WebhookReceiver(secret=os.environ["WEBHOOK_SECRET"])

        async def webhook(request):
            receiver.check(request.headers)
            message = receiver.message(await request.body())
        ```

    Args:
        secret: the value that the header must have: visible ASCII without spaces. Several
            values are each accepted, so that a secret can be changed without losing a
            delivery.
        header: the name of the header with the secret, in any case. Default
            ``X-Iottly-Secret``.
        max_bytes: the largest body that is accepted, in bytes. Default 1,048,576 (1 MiB).

    Raises:
        ConfigurationError: there is no secret, a secret is empty or cannot stand in a
            header, `header` is not the name of a header, or `max_bytes` is less than 1.
    """

    __slots__ = ("_digests", "_header", "max_bytes")

    def __init__(
        self, *, secret: Secret, header: str = DEFAULT_HEADER, max_bytes: int = MAX_BYTES
    ) -> None:
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            raise ConfigurationError(f"header must be the name of a header, not {header!r}")
        self._header = header.lower()
        self._digests: tuple[bytes, ...] = ()
        self.max_bytes = whole(max_bytes, name="max_bytes", least=1)
        try:
            self._digests = _digests(secret)
        finally:
            del secret  # A traceback that shows local variables must not show it.

    def __repr__(self) -> str:
        return f"WebhookReceiver(header={self._header!r}, {len(self._digests)} secrets)"

    def check(self, headers: Headers) -> None:
        """Check that the headers hold the secret; call this before anything else.

        The time it takes does not depend on where a wrong value differs from the secret, nor
        on which of several secrets matches.

        Args:
            headers: the request's headers, with names in any case; of each its value, or the
                list of its values.

        Raises:
            WebhookSecretError: the header is missing, is there twice, or has another value;
                answer 403.
            WebhookEncodingError: the body has another content encoding than gzip; answer 415.
            ConfigurationError: `headers` is not a mapping.
        """
        matches = self._matches(headers)
        encodings = _values(headers, "content-encoding")
        del headers  # A wrong value may be the secret of another service.
        if not matches:
            raise WebhookSecretError("the webhook does not carry the shared secret")
        _check_encoding(encodings)

    def _matches(self, headers: Headers) -> bool:
        if not hasattr(headers, "items"):
            raise ConfigurationError("headers must be a mapping of names to texts")
        values = _values(headers, self._header)
        digest = _digest(values[0] if len(values) == 1 else "")
        matches = False
        for known in self._digests:
            matches |= compare_digest(digest, known)
        return matches

    def check_size(self, size: int) -> None:
        """Check the size of a body, such as the one that ``Content-Length`` declares.

        Args:
            size: bytes.

        Raises:
            WebhookTooLargeError: `size` is more than `max_bytes`; answer 413.
        """
        if size > self.max_bytes:
            raise WebhookTooLargeError(f"the webhook is larger than {self.max_bytes} bytes")

    def message(self, body: bytes) -> Message:
        """Read the message of a body ``{"msg": {…}}``, or of a form ``msg={…}``.

        Args:
            body: the request's body, as bytes; it may be compressed by gzip.

        Returns:
            The message. Its `key` is the same as over REST, but without the number that
            distinguishes identical messages of one millisecond there.

        Raises:
            WebhookTooLargeError: the body is larger than `max_bytes`, as it arrived or
                decompressed; answer 413.
            DecodeError: the body does not hold a message; answer 400.
            ConfigurationError: `body` is not bytes.
        """
        text = self._decompressed(body)
        field = form_field(text)
        return decode_webhook(text) if field is None else decode_webhook(field, enveloped=False)

    def payload(self, body: bytes) -> Any:
        """Read the bare payload of a webhook that is set to "payload only".

        A bare payload names no device, no time and no key, so repeats cannot be recognised.

        Args:
            body: the request's body, as bytes; it may be compressed by gzip, or a form
                ``msg=<json>``.

        Returns:
            Any JSON value.

        Raises:
            WebhookTooLargeError: the body is larger than `max_bytes`, as it arrived or
                decompressed; answer 413.
            DecodeError: the body is not JSON; answer 400.
            ConfigurationError: `body` is not bytes.
        """
        text = self._decompressed(body)
        field = form_field(text)
        return decode_webhook_payload(text if field is None else field)

    def _decompressed(self, body: bytes) -> bytes:
        self.check_size(len(_as_bytes(body)))
        return decompressed(bytes(body), self.max_bytes)


@overload
def parse_webhook(
    body: bytes,
    *,
    headers: Headers,
    secret: Secret,
    payload_only: Literal[False] = False,
    header: str = DEFAULT_HEADER,
    max_bytes: int = MAX_BYTES,
) -> Message: ...
@overload
def parse_webhook(
    body: bytes,
    *,
    headers: Headers,
    secret: Secret,
    payload_only: Literal[True],
    header: str = DEFAULT_HEADER,
    max_bytes: int = MAX_BYTES,
) -> Any: ...
def parse_webhook(
    body: bytes,
    *,
    headers: Headers,
    secret: Secret,
    payload_only: bool = False,
    header: str = DEFAULT_HEADER,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Check the sender of a webhook and read its message.

    The body is not read before the secret was checked. A server that gets many webhooks makes
    one `WebhookReceiver`, which can also refuse a request before its body is read.

    Example:
        ```python
        message = parse_webhook(
            await request.body(), headers=request.headers, secret=os.environ["WEBHOOK_SECRET"]
        )
        print(message.device_id, message.payload)
        ```

    Args:
        body: the request's body, as bytes: JSON, or a form ``msg=<json>``; it may be
            compressed by gzip.
        headers: the request's headers, with names in any case; of each its value, or the list
            of its values.
        secret: the value that `header` must have. Several values are each accepted.
        payload_only: whether the webhook is set to "payload only". Default False.
        header: the name of the header with the secret. Default ``X-Iottly-Secret``.
        max_bytes: the largest body that is accepted, in bytes. Default 1,048,576 (1 MiB).

    Returns:
        The message; with `payload_only` the decoded payload, any JSON value.

    Raises:
        ConfigurationError: `secret`, `header`, `max_bytes` or the type of `body` is not
            accepted.
        WebhookSecretError: the header is missing, is there twice, or has another value;
            answer 403.
        WebhookEncodingError: the body has another content encoding than gzip; answer 415.
        WebhookTooLargeError: the body is larger than `max_bytes`, as it arrived or
            decompressed; answer 413.
        DecodeError: the body does not hold a message; answer 400.
    """
    try:
        receiver = WebhookReceiver(secret=secret, header=header, max_bytes=max_bytes)
        receiver.check(headers)
    finally:
        del secret, headers  # A traceback that shows local variables must not show them.
    return receiver.payload(body) if payload_only else receiver.message(body)


def _values(headers: Headers, name: str) -> list[str]:
    """All values of a header."""
    found: list[str] = []
    for key, value in headers.items():
        if isinstance(key, str) and key.lower() == name:
            found += map(str, value if isinstance(value, list | tuple) else [value])
    return found


def _check_encoding(values: Sequence[str]) -> None:
    codings = [coding.strip().lower() for value in values for coding in value.split(",")]
    if set(codings) - {"", "identity", *_GZIP_NAMES} or sum(map(_is_gzip, codings)) > 1:
        raise WebhookEncodingError(
            "the webhook's content encoding is not read; send it as it is, or compressed by gzip"
        )


def _is_gzip(coding: str) -> bool:
    return coding in _GZIP_NAMES


def _as_bytes(body: bytes) -> bytes:
    if not isinstance(body, bytes | bytearray):
        raise ConfigurationError(
            f"body must be the request's bytes, not {type(body).__name__}; "
            "do not pass the text or JSON that a framework has made of it"
        )
    return body


def _digests(secret: Secret) -> tuple[bytes, ...]:
    single = isinstance(secret, str) or not isinstance(secret, Sequence)
    secrets: Sequence[Any] = (secret,) if single else secret
    digests = tuple(_digest(text) if _is_valid(text) else b"" for text in secrets)
    del secret, secrets
    if not digests or not all(digests):
        raise ConfigurationError(
            "secret must be one or more texts of visible ASCII without spaces, none of them empty"
        )
    return digests


def _is_valid(secret: object) -> bool:
    return (
        isinstance(secret, str) and secret != "" and all("!" <= letter <= "~" for letter in secret)
    )


def _digest(value: str) -> bytes:
    # Digests have one length, so the time of a comparison does not even show the length of a
    # secret. "surrogatepass" encodes whatever a server made of bytes that are not ASCII.
    return blake2b(value.encode("utf-8", "surrogatepass")).digest()
