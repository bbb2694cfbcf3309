"""A stored message, with its JSON already written.

A page is answered by joining texts, so each row keeps the part of its JSON that does not depend on
the request: everything after the ids of device and project. The payload stands at its end,
character by character as it was given.
"""

import json
from functools import lru_cache
from typing import NamedTuple

from .times import naive_text


class Row(NamedTuple):
    """A message as the store holds it; the order is that of the table's columns.

    ``timestamp``, ``device_timestamp`` and ``visible_at`` are epoch milliseconds (``visible_at`` 0:
    always was). ``tail`` is ``"timestamp":…,"payload":…}``; the payload begins at character
    ``payload_at`` and ends before the last brace.
    """

    device: int
    timestamp: int
    id: int
    type: str
    device_timestamp: int
    visible_at: int
    channel: str | None
    oid: str | None
    payload_at: int
    tail: str

    @property
    def payload_json(self) -> str:
        """The payload's JSON text as it was given."""
        return self.tail[self.payload_at : -1]

    @property
    def object_id(self) -> str:
        """The 24 hexadecimal digits of ``_id``: the timestamp's second, then the row's number."""
        return self.oid or f"{self.timestamp // 1000:08x}{self.id:016x}"


def make_row(
    device: int,
    timestamp: int,
    id: int,  # noqa: A002 - the column's name
    type: str,  # noqa: A002 - the wire's name
    device_timestamp: int,
    payload_json: str,
    *,
    visible_at: int = 0,
    channel: str | None = None,
    oid: str | None = None,
) -> Row:
    """A row with its JSON tail written."""
    named = "" if channel is None else f'"channel":{quoted(channel)},'
    head = (
        f'"timestamp":"{naive_text(timestamp)}","devicetimestamp":"{naive_text(device_timestamp)}",'
        f'"type":{quoted(type)},{named}"payload":'
    )
    return Row(
        device,
        timestamp,
        id,
        type,
        device_timestamp,
        visible_at,
        channel,
        oid,
        len(head),
        f"{head}{payload_json}}}",
    )


@lru_cache(maxsize=256)
def quoted(text: str) -> str:
    """The JSON string of one of the few texts that come again and again (a type, a channel)."""
    return dump_json(text)


def dump_json(value: object) -> str:
    """Compact JSON text that can be sent as UTF-8; ``ValueError`` for what JSON cannot say."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate travels escaped
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text
