"""Requests to the server and its answers, as values without HTTP."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import frozen

from .dialect import FilterTime

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@frozen
class ForeignAnswer:
    """An answer: a status, and the JSON value of the body."""

    status: int
    value: Any


@frozen(kw_only=True)
class ForeignRequest:
    """One request: `path` in decoded parts, header names in lower case, `body` as JSON."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @classmethod
    def of(
        cls, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> "ForeignRequest":
        """Make a request from these parts of HTTP."""
        parts = urlsplit(target)
        return cls(
            method=method,
            path=tuple(unquote(part) for part in parts.path.split("/")[1:]),
            query=dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
            if parts.query
            else {},
            headers=headers,
            body=json.loads(body) if body else None,
        )

    def time(self, name: str, form: FilterTime) -> int | None:
        """Read a time of the query, in milliseconds; ValueError if it is not in this form."""
        text = self.query.get(name)
        if text is None:
            return None
        if form == "epoch-ms":
            return int(text)
        if form == "epoch-s":
            return round(float(text) * 1000)
        if form == "iso-z":
            return milliseconds(text)
        return milliseconds(text + "Z")


def milliseconds(text: str) -> int:
    """Read an ISO text with Z as milliseconds since the epoch; ValueError for any other text."""
    if not text.endswith("Z"):
        raise ValueError(text)
    return round((datetime.fromisoformat(text) - _EPOCH) / _MILLISECOND)
