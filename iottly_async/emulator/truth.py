"""A stored message as plain values, for tests to compare with what a client made of it."""

import json
from typing import Any

from .fleet.devices import Device
from .rows import Row
from .times import to_datetime


def truth(row: Row, device: Device, project_id: str) -> dict[str, Any]:
    """A stored message with everything that is known of it."""
    try:
        payload = json.loads(row.payload_json)
    except (ValueError, RecursionError):
        payload = None
    return {
        "id": row.id,
        "oid": row.object_id,
        "device_id": device.id,
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
    }
