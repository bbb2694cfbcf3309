"""Message rows, and the JSON of messages.

A page is answered by joining texts. So each row keeps the part of its JSON that does not depend on
the request: everything after the ids of device and project. The payload stands at its end,
character by character as it was given.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple

from .times import naive_text, to_datetime

MESSAGE_TYPES = ("all", "userdefined", "iottlyagent")
"""What endpoints, webhooks and streams can filter by; ``all`` filters nothing."""


class Row(NamedTuple):
    """A message as the store holds it; the fields are the table's columns, in order.

    ``timestamp``, ``device_timestamp`` and ``visible_at`` are epoch milliseconds; ``visible_at`` 0
    means "visible from the start". ``tail`` is ``"timestamp":…,"payload":…}``. The payload begins
    at character ``payload_at`` of it and ends before the last brace. A raw row has ``payload_at``
    -1, and ``tail`` is all that is sent for it.
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
    def raw(self) -> str | None:
        """The text of a raw row; None for an ordinary message."""
        return self.tail if self.payload_at < 0 else None

    @property
    def payload_json(self) -> str:
        """The payload's text as it was given; it need not be valid JSON.

        Of a raw row, ``null`` unless it is an object that has a payload.
        """
        if self.payload_at >= 0:
            return self.tail[self.payload_at : -1]
        return dump_json(raw_object(self).get("payload"))

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
    """Make a row and write its ``tail``."""
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


def raw_text(row: object) -> str:
    """The text of a row of any form: a JSON value, or UTF-8 bytes that are sent as they are."""
    return row.decode() if isinstance(row, bytes) else dump_json(row)


def make_raw_row(
    device: int,
    timestamp: int,
    id: int,  # noqa: A002 - the column's name
    text: str,
    *,
    visible_at: int = 0,
) -> Row:
    """Make a row whose text is sent as it is, at the place of ``timestamp``."""
    row = Row(device, timestamp, id, "userdefined", timestamp, visible_at, None, None, -1, text)
    named = raw_object(row).get("type")
    return row._replace(type=named) if isinstance(named, str) else row


def raw_object(row: Row) -> dict[str, Any]:
    """The JSON object of a raw row; an empty one if it is not an object."""
    try:
        value = load_json(row.tail)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def ids_json(device_id: str, project_id: str) -> str:
    """The fields with which every message of a device begins, each followed by a comma."""
    return f'"from":{dump_json(device_id)},"to":{dump_json(project_id)},'


def message_json(device_id: str, project_id: str, row: Row) -> str:
    """A message as the paginated endpoint, webhooks and streams send it."""
    return row.raw or f"{{{ids_json(device_id, project_id)}{row.tail}"


def stored_message(device_id: str, project_id: str, row: Row) -> dict[str, Any]:
    """A message as ``EmulatorHandle.stored`` returns it: everything the emulator knows of it."""
    try:
        payload = load_json(row.payload_json)
    except ValueError:
        payload = None
    return {
        "id": row.id,
        "oid": row.object_id,
        "device_id": device_id,
        "project_id": project_id,
        "timestamp": to_datetime(row.timestamp),
        "timestamp_ms": row.timestamp,
        "devicetimestamp": to_datetime(row.device_timestamp),
        "devicetimestamp_ms": row.device_timestamp,
        "type": row.type,
        "channel": row.channel,
        "payload": payload,
        "payload_json": row.payload_json,
        "visible_at_ms": row.visible_at,
        "raw": row.raw,
    }


@lru_cache(maxsize=256)
def quoted(text: str) -> str:
    """The JSON string of a text that recurs (a type, a channel), from a cache."""
    return dump_json(text)


def dump_json(value: object) -> str:
    """Compact JSON text that can be encoded as UTF-8; ``ValueError`` for NaN and infinity."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: written as an escape
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def load_json(text: str | bytes, *, strict: bool = False) -> Any:
    """Decode JSON; ``ValueError`` also where it nests too deeply, and if ``strict`` for NaN."""
    try:
        return json.loads(text, parse_constant=_refuse_constant if strict else None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
