"""Writes an answer as the bytes of HTTP, in a dialect."""

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from typing import Final

from .dialect import Dialect
from .request import ForeignAnswer

_HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
_QUOTA: Final = 600_000  # so large that it never delays a request
_NOISE: Final = (
    ("Set-Cookie", "a=b; Path=/"),
    ("Set-Cookie", "c=d"),
    ("X-Long", "y" * 6000),
    ("Vary", "a"),
    ("Vary", "b"),
    ("Via", "1.1 proxy"),
)


def closes(dialect: Dialect) -> bool:
    """Whether the connection is closed after the answer."""
    return dialect.closes != "no" or dialect.framing == "close" or dialect.version == "1.0"


def written(dialect: Dialect, answer: ForeignAnswer) -> bytes:
    """Write the whole answer, with an early hint before it if the dialect has one."""
    body = _body(dialect, answer)
    fields = list(_fields(dialect))
    if dialect.framing in ("chunked", "trailers"):
        fields.append(("Transfer-Encoding", "chunked"))
        body = _chunks(body, b"X-Trailer: 1\r\n" if dialect.framing == "trailers" else b"")
    elif dialect.framing == "length":
        fields.append(("Content-Length", str(len(body))))
    reason = f" {dialect.reason}" if dialect.reason else ""
    head = f"HTTP/{dialect.version} {answer.status}{reason}\r\n"
    head += "".join(f"{_cased(dialect, name)}: {value}\r\n" for name, value in fields)
    return (_HINTS if dialect.hints else b"") + head.encode() + b"\r\n" + body


def _body(dialect: Dialect, answer: ForeignAnswer) -> bytes:
    text = json.dumps(
        answer.value, ensure_ascii=dialect.escapes, indent=2 if dialect.pretty else None
    )
    body = ("\ufeff" if dialect.bom else "").encode() + text.encode()
    if dialect.coding == "gzip":
        return gzip.compress(body)
    return zlib.compress(body) if dialect.coding == "deflate" else body


def _fields(dialect: Dialect) -> Iterator[tuple[str, str]]:
    if dialect.media_type is not None:
        yield "Content-Type", dialect.media_type
    if dialect.coding:
        yield "Content-Encoding", dialect.coding
    if dialect.date:
        yield "Date", formatdate(usegmt=True)
    if dialect.quota:
        yield "X-RateLimit-Limit", str(_QUOTA)
        yield "X-RateLimit-Remaining", str(_QUOTA - 1000)
        yield "X-RateLimit-Reset", str(int(time.time()) + 30)
    if dialect.noise:
        yield from _NOISE
    if closes(dialect) and dialect.closes != "silently":
        yield "Connection", "close"


def _chunks(body: bytes, trailers: bytes) -> bytes:
    size = max(1, len(body) // 3)
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts)
    return chunks + b"0\r\n" + trailers + b"\r\n"


def _cased(dialect: Dialect, name: str) -> str:
    if dialect.case == "lower":
        return name.lower()
    return name.upper() if dialect.case == "upper" else name
