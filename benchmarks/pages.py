"""Pages of messages as the service would send them: about 28 kB for 100 messages."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

PROJECT: Final = "59c19cacecc01400075f3bc9"
DEVICE: Final = "3781de91-d446-4c64-825d-756dd60f2dab"
START: Final = datetime(2018, 7, 27, tzinfo=UTC)
STEP: Final = timedelta(seconds=1, milliseconds=7)
SIZE: Final = 100
MADE_BEFOREHAND: Final = 100_000


def timestamp(index: int) -> datetime:
    """When the message with this number arrived."""
    return START + index * STEP


def row(index: int, *, stored: bool = False, **beside: Any) -> bytes:
    """One message: as the paginated endpoint gives it, or as the history does.

    Args:
        index: its number; each number has its own readings.
        stored: whether as the history gives it.
        beside: fields that the documents do not name.
    """
    chance = random.Random(index)
    at, device_at = timestamp(index), timestamp(index) - timedelta(milliseconds=312)
    message: dict[str, Any] = {
        "from": DEVICE,
        "to": PROJECT,
        "timestamp": _time(at, stored),
        "devicetimestamp": _time(device_at, stored),
        "type": "userdefined",
        "payload": {
            "sensor_data_reading": {
                "temperature": round(chance.gauss(37, 2), 2),
                "humidity": round(chance.uniform(20, 90), 1),
                "ok": chance.random() < 0.9,
            }
        },
    }
    if stored:
        message["_id"] = {"$oid": f"{chance.getrandbits(96):024x}"}
    return json.dumps(message | beside, separators=(",", ":")).encode()


def _time(at: datetime, stored: bool) -> Any:
    text = at.replace(tzinfo=None).isoformat(timespec="milliseconds")
    return {"$date": f"{text}Z"} if stored else text


def page(rows: list[bytes], *, stored: bool = False) -> bytes:
    """The body of an answer with these rows."""
    head = b'{"status":200,"messages":[' if stored else b'{"messages":['
    return head + b",".join(rows) + b"]}"


class Range:
    """So many messages of one device, a second and a bit apart, and the pages of them.

    Seeks come from the last message of the page before, so every page but the first
    begins 99 messages behind the one before it; of few messages those are made beforehand.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._templates = [_template(row(index)) for index in range(1000)]
        self._made: dict[int, bytes] = {}
        if count <= MADE_BEFOREHAND:
            self._made = {index: self._page(index) for index in range(0, count, SIZE - 1)}

    def _page(self, index: int) -> bytes:
        rows = []
        for number in range(index, min(index + SIZE, self.count)):
            text = _time(timestamp(number), stored=False).encode()
            rows.append(self._templates[number % 1000].replace(b"@", text))
        return page(rows)

    def since(self, start: str) -> bytes:
        """The page of messages from this time on, an ISO text or empty for the beginning."""
        index = 0
        if start:
            index = max(0, -((START - datetime.fromisoformat(start + "Z")) // STEP))
        return self._made.get(index) or self._page(index)


def _template(made: bytes) -> bytes:
    """A row with an @ for each of its times."""
    return re.sub(rb'timestamp":"[^"]*"', b'timestamp":"@"', made)
