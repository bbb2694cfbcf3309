"""Signed texts: the content in base64, and its HMAC-SHA256. Pure."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from ..errors import ConfigurationError, CursorMismatchError

Secret: TypeAlias = str | bytes
_LEAST: Final = 16
"""Bytes of a secret, at least. A shorter one can be guessed."""
_PURPOSE: Final = b"iottly-async cursor\0"
"""Signed along, so that a signature which another program made with the secret is not one."""


def signed(content: str, secret: Secret | Sequence[Secret]) -> str:
    """A text for a URL that holds `content`, signed with the first secret.

    Raises:
        ConfigurationError: a secret is too short, or there is none.
    """
    first, *_ = _secrets(secret)
    data = content.encode()
    return f"{_text(data)}.{_text(_signature(data, first))}"


def content_of(token: str, secret: Secret | Sequence[Secret]) -> str:
    """The content that `signed` was given, if one of the secrets has signed it.

    Raises:
        ConfigurationError: a secret is too short, or there is none.
        CursorMismatchError: the text is no token, or no secret has signed it.
    """
    secrets = _secrets(secret)
    content, dot, signature = token.partition(".") if isinstance(token, str) else ("", "", "")
    try:
        data, found = _bytes(content), _bytes(signature)
        text = data.decode()
    except ValueError:
        dot = ""
    if not dot:
        raise CursorMismatchError("this text is not a token written by Cursor.to_token()")
    # All are compared, so that the time does not tell which one has signed.
    matching = [hmac.compare_digest(_signature(data, each), found) for each in secrets]
    if not any(matching):
        raise CursorMismatchError(
            "the cursor's token was signed with another secret, or altered after it was written"
        )
    return text


def _secrets(secret: Secret | Sequence[Secret]) -> list[bytes]:
    several = [secret] if isinstance(secret, str | bytes) else secret
    if not isinstance(several, Sequence) or not several:
        raise ConfigurationError("secret must be a text, bytes, or a sequence of these")
    found = []
    for each in several:
        if not isinstance(each, str | bytes):
            raise ConfigurationError("secret must be a text, bytes, or a sequence of these")
        data = each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each
        if len(data) < _LEAST:
            raise ConfigurationError(
                f"secret must have {_LEAST} bytes or more, such as secrets.token_hex(32)"
            )
        found.append(data)
    return found


def _signature(data: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + data, sha256)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if _text(data) != text:
        raise ValueError("another text has the same content")
    return data
