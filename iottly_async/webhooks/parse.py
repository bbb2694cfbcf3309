"""Webhooks: what the platform posts for each message, checked and read, in any framework.

The documents give one means to know the sender: a header of the user's own choosing,
which the platform sends with every webhook. Its value is a shared secret::

    message = parse_webhook(body, headers=request.headers, secret=SECRET)

A static secret is no signature, and gives **no protection against replay**: it does not
depend on the body, so that who has seen one request (a proxy, a log, a debugger) can
send anything, again and again, until the secret is changed. Use https, keep headers out
of logs, and where a webhook sets something off, fetch the message from the service
instead of believing what arrived. `SeenKeys` drops what is delivered twice, for as long
as it remembers; it is a help for handlers that must not run twice and no defence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final, Literal, overload

from ..codec import decode_webhook, decode_webhook_payload
from ..config import whole
from ..errors import ConfigurationError, WebhookSecretError, WebhookTooLargeError
from ..models import Message

Secret = str | Sequence[str]
"""The shared secret, or the old and the new one while it is being changed."""

DEFAULT_HEADER: Final = "X-Iottly-Secret"
"""The header that is looked at where no other is named; the name is this library's choice."""

MAX_BYTES: Final = 1024 * 1024
"""The largest body that is accepted where no other bound is given: 1 MiB."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class WebhookReceiver:
    """Checks webhooks and reads them; holds no state between them, and only digests of secrets.

    Args:
        secret: what the header must hold: visible ASCII; several are each accepted, so
            that a secret can be changed without losing a delivery.
        header: name of the header, in any case.
        max_bytes: of a body; larger ones are refused.

    Raises:
        ConfigurationError: no secret, an empty one or one that no header can carry; a
            name that no header can have.
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
            del secret  # a traceback with locals must not show it

    def __repr__(self) -> str:
        return f"WebhookReceiver(header={self._header!r}, {len(self._digests)} secrets)"

    def check(self, headers: Mapping[str, str]) -> None:
        """Return where the headers hold the secret, once; to be called before anything else.

        The time it takes depends neither on where a wrong value differs nor on which of
        several secrets was met.

        Raises:
            WebhookSecretError: the header is missing, there twice, or holds another value.
        """
        met = self._met(headers)
        del headers  # a wrong value may be another's secret
        if not met:
            raise WebhookSecretError("the webhook does not carry the shared secret")

    def _met(self, headers: Mapping[str, str]) -> bool:
        if not hasattr(headers, "items"):
            raise ConfigurationError("headers must be a mapping of names to texts")
        given = [value for name, value in headers.items() if name.lower() == self._header]
        digest = _digest(given[0] if len(given) == 1 else "")
        met = False
        for known in self._digests:
            met |= compare_digest(digest, known)
        return met

    def check_size(self, size: int) -> None:
        """Return where a body of `size` bytes is accepted.

        Raises:
            WebhookTooLargeError: it is larger than `max_bytes`.
        """
        if size > self.max_bytes:
            raise WebhookTooLargeError(f"the webhook is larger than {self.max_bytes} bytes")

    def message(self, body: bytes) -> Message:
        """The message in the envelope ``{"msg": {…}}``.

        Its `key` is the one that the message has when read over REST, but without the
        number by which identical messages of one millisecond are told apart there.

        Raises:
            WebhookTooLargeError: the body is larger than `max_bytes`.
            DecodeError: it is not an envelope with a message; answer 400.
        """
        self.check_size(len(_given(body)))
        return decode_webhook(body)

    def payload(self, body: bytes) -> Any:
        """The bare payload that is posted where "payload only" is set: any JSON value.

        Nothing in it tells the device, the time or a key: it cannot be de-duplicated.

        Raises:
            WebhookTooLargeError: the body is larger than `max_bytes`.
            DecodeError: it is not JSON; answer 400.
        """
        self.check_size(len(_given(body)))
        return decode_webhook_payload(body)


@overload
def parse_webhook(
    body: bytes,
    *,
    headers: Mapping[str, str],
    secret: Secret,
    payload_only: Literal[False] = False,
    header: str = DEFAULT_HEADER,
    max_bytes: int = MAX_BYTES,
) -> Message: ...
@overload
def parse_webhook(
    body: bytes,
    *,
    headers: Mapping[str, str],
    secret: Secret,
    payload_only: Literal[True],
    header: str = DEFAULT_HEADER,
    max_bytes: int = MAX_BYTES,
) -> Any: ...
def parse_webhook(
    body: bytes,
    *,
    headers: Mapping[str, str],
    secret: Secret,
    payload_only: bool = False,
    header: str = DEFAULT_HEADER,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """The message that a webhook brings, once its sender has shown the secret.

    Nothing of the body is looked at before. For more than one webhook make a
    `WebhookReceiver` once; it also lets a server refuse before it has read the body.

    Args:
        body: of the request, as it arrived.
        headers: of the request; names in any case.
        secret: what `header` must hold; several are each accepted.
        payload_only: whether the webhook is set to "payload only".
        header: name of the header with the secret; default ``X-Iottly-Secret``.
        max_bytes: of the body; default 1 MiB.

    Returns:
        The message; with `payload_only` its decoded payload, any JSON value.

    Raises:
        ConfigurationError: `secret`, `header` or `max_bytes` is not as above.
        WebhookSecretError: the header is missing, repeated or wrong; answer 403.
        WebhookTooLargeError: the body is larger than `max_bytes`; answer 413.
        DecodeError: the body is not what the platform posts; answer 400.
    """
    try:
        receiver = WebhookReceiver(secret=secret, header=header, max_bytes=max_bytes)
        receiver.check(headers)
    finally:
        del secret, headers  # a traceback with locals must not show them
    return receiver.payload(body) if payload_only else receiver.message(body)


def _given(body: bytes) -> bytes:
    if not isinstance(body, bytes | bytearray):
        raise ConfigurationError(
            f"body must be the bytes that arrived, and is {type(body).__name__}; "
            "a framework's own reading of it, as text or JSON, does not do"
        )
    return body


def _digests(secret: Secret) -> tuple[bytes, ...]:
    one = isinstance(secret, str) or not isinstance(secret, Sequence)
    secrets: Sequence[Any] = (secret,) if one else secret
    digests = tuple(_digest(text) if _fits(text) else b"" for text in secrets)
    del secret, secrets
    if not digests or not all(digests):
        raise ConfigurationError(
            "secret must be one or more texts of visible ASCII without spaces, none of them empty"
        )
    return digests


def _fits(secret: object) -> bool:
    return (
        isinstance(secret, str) and secret != "" and all("!" <= letter <= "~" for letter in secret)
    )


def _digest(value: str) -> bytes:
    # Digests, so that not even the length of a secret shows in the time. Whatever a server
    # made of bytes that are not ASCII, it is bytes again here and equals no secret.
    return blake2b(value.encode("utf-8", "surrogatepass")).digest()
