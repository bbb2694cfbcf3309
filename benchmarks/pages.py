"""Pages of messages in the service's form: about 28 kB for 100 messages."""

from __future__ import annotations

import json
import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

PROJECT: Final = "59c19cacecc01400075f3bc9"
DEVICE: Final = "3781de91-d446-4c64-825d-756dd60f2dab"
START: Final = datetime(2018, 7, 27, tzinfo=UTC)
STEP: Final = timedelta(seconds=1, milliseconds=7)
SIZE: Final = 100
PREBUILT: Final = 100_000  # the pages of a range of at most this many messages are built beforehand


def timestamp(number: int) -> datetime:
    """The time of the millisecond with this number; milliseconds are `STEP` apart."""
    return START + number * STEP


def row(index: int, *, stored: bool = False, **fields: Any) -> bytes:
    """Make one message.

    Args:
        index: The message's number; each number has its own readings.
        stored: Use the form of the history instead of the paginated endpoint's.
        fields: Additional fields, such as ones that the documents do not name.

    Returns:
        The message as JSON.
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
    return json.dumps(message | fields, separators=(",", ":")).encode()


def _time(at: datetime, stored: bool) -> Any:
    text = at.replace(tzinfo=None).isoformat(timespec="milliseconds")
    return {"$date": f"{text}Z"} if stored else text


def page(rows: list[bytes], *, stored: bool = False) -> bytes:
    """Make the body of a response with these messages."""
    head = b'{"status":200,"messages":[' if stored else b'{"messages":['
    return head + b",".join(rows) + b"]}"


class Range:
    """The messages of one device, and the pages of them.

    A client asks for each page from the last millisecond of the page before. Of a small
    range, the pages at these places are built beforehand.

    Args:
        count: The number of messages.
        ties: The most messages that share a millisecond. 1 gives each message its own; for
            more, each millisecond has a random number from 1 to `ties`.
    """

    def __init__(self, count: int, ties: int = 1) -> None:
        self.count = count
        # By number of the millisecond, the index of its first message.
        self._firsts: Sequence[int] = range(count) if ties == 1 else _firsts(count, ties)
        self._templates = [_template(row(index)) for index in range(1000)]
        self._built: dict[int, bytes] = {}
        number = 0
        while count <= PREBUILT and number < len(self._firsts):
            self._built[number] = self._page(number)
            last = min(self._firsts[number] + SIZE, count) - 1
            number = max(number + 1, bisect_right(self._firsts, last) - 1)

    def _page(self, number: int) -> bytes:
        """The page that begins with the millisecond of this number."""
        if number >= len(self._firsts):
            return page([])
        rows = []
        for index in range(self._firsts[number], min(self._firsts[number] + SIZE, self.count)):
            if number + 1 < len(self._firsts) and index == self._firsts[number + 1]:
                number += 1
            text = _time(timestamp(number), stored=False).encode()
            rows.append(self._templates[index % 1000].replace(b"@", text))
        return page(rows)

    def since(self, start: str) -> bytes:
        """The page of messages from a time on.

        Args:
            start: The time in ISO form; empty for the beginning.

        Returns:
            The body of the response.
        """
        number = 0
        if start:
            number = max(0, -((START - datetime.fromisoformat(start + "Z")) // STEP))
        return self._built.get(number) or self._page(number)


def _firsts(count: int, ties: int) -> list[int]:
    chance, firsts, index = random.Random(0), [], 0
    while index < count:
        firsts.append(index)
        index += chance.randint(1, ties)
    return firsts


def _template(made: bytes) -> bytes:
    """A message with an @ in place of each of its times."""
    return re.sub(rb'timestamp":"[^"]*"', b'timestamp":"@"', made)
