"""The body of a webhook as JSON: decompressed, and taken out of a form.

Both are recognised by the body itself. A gateway may have decompressed a body and left its
``Content-Encoding`` in the headers, and the platform's content type is not documented.
"""

from __future__ import annotations

import re
import zlib
from typing import Final
from urllib.parse import unquote_to_bytes

from ..errors import DecodeError, WebhookTooLargeError

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_FORM: Final = re.compile(rb"\s*[0-9A-Za-z_.~*%+-]+=")  # no JSON text begins so
_FIELD: Final = b"msg"


def decompressed(body: bytes, max_bytes: int) -> bytes:
    """A body without gzip; any other body as it is.

    Args:
        body: as it arrived.
        max_bytes: the largest result; decompression stops there.

    Raises:
        WebhookTooLargeError: the result is larger.
        DecodeError: the gzip data is cut or damaged, or something follows it.
    """
    if body[:2] != _GZIP:
        return body
    member = zlib.decompressobj(_GZIP_WINDOW)
    found, whole = b"", False
    try:
        found = member.decompress(body, max_bytes + 1)
        whole = member.eof and not member.unused_data
    except zlib.error:
        pass
    if len(found) > max_bytes:
        raise WebhookTooLargeError(f"the webhook is larger than {max_bytes} bytes, decompressed")
    if not whole:
        raise DecodeError("expected whole gzip data, and nothing after it", path="$")
    return found


def form_field(body: bytes) -> bytes | None:
    """The JSON of a form body ``msg=<json>``, as the vendor's open-source platform sends it.

    Returns:
        The field's value; None if the body is no form.

    Raises:
        DecodeError: the form does not have exactly one field ``msg``.
    """
    if not _FORM.match(body):
        return None
    values = [
        value
        for name, _, value in (field.partition(b"=") for field in body.strip().split(b"&"))
        if _decoded(name) == _FIELD
    ]
    if len(values) != 1:
        raise DecodeError("expected one field of this name in the form", path="$.msg")
    return _decoded(values[0])


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
