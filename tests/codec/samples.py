"""Messages as JSON for the codec's tests, in each form, and answers with them."""

from __future__ import annotations

import json
from typing import Any, Final

from iottly_async.codec import decode_history, decode_page
from iottly_async.models import Message
from iottly_async.models.message import messages_of

PROJECT: Final = "59c19cacecc01400075f3bc9"
DEVICE: Final = "3781de91-d446-4c64-825d-756dd60f2dab"


def paged(**changes: Any) -> dict[str, Any]:
    """A message of the paginated endpoint, with these fields changed or added."""
    row = {
        "from": DEVICE,
        "to": PROJECT,
        "timestamp": "2018-07-27T17:50:04.968",
        "devicetimestamp": "2018-07-27T17:49:51",
        "type": "userdefined",
        "channel": "alarms",
        "payload": {"temperature": 37.4},
    }
    return row | changes


def stored(**changes: Any) -> dict[str, Any]:
    """The same message in the form of the history."""
    row = paged(
        timestamp={"$date": "2018-07-27T17:50:04.968Z"},
        devicetimestamp={"$date": "2018-07-27T17:49:51.000Z"},
        _id={"$oid": "59c1b7d71e4b5f00070c8e3a"},
    )
    return row | changes


def answer(*rows: Any, **around: Any) -> bytes:
    """The body of an answer with these rows."""
    return json.dumps({"messages": list(rows), **around}).encode()


def raw_answer(*rows: str | bytes) -> bytes:
    """The body of an answer with these rows, which need not be JSON."""
    slices = [row.encode() if isinstance(row, str) else row for row in rows]
    return b'{"messages": [' + b", ".join(slices) + b"]}"


def raw_row(payload: str | bytes, **changes: Any) -> bytes:
    """A message of the paginated endpoint with this payload, which need not be JSON."""
    text = json.dumps(paged(payload="PAYLOAD", **changes)).encode()
    data = payload.encode() if isinstance(payload, str) else payload
    return text.replace(b'"PAYLOAD"', data)


def read_page(body: bytes) -> list[Message]:
    rows = decode_page(body, project_id=PROJECT, device_id=DEVICE).whole()
    return messages_of(rows)


def read_history(body: bytes) -> list[Message]:
    rows = decode_history(body, project_id=PROJECT, device_id=DEVICE).whole()
    return messages_of(rows)
