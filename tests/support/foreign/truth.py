"""The server's data: devices and their messages, the same in every run."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from random import Random
from typing import Any, Final
from uuid import UUID

from attrs import frozen

KEY: Final = "ik_live_of_another_house"
PROJECT: Final = "5a0000000000000000000001"
FLEET: Final = 42

_BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS: Final = (0, 0, 1, 250, 1000, 59_321, 60_000)
_TIED: Final = 130


def text_of(payload: Any) -> str:
    """A payload as a text that can be compared."""
    return json.dumps(payload, sort_keys=True)


@frozen
class Row:
    """One message, with its times in milliseconds since the epoch."""

    at: int
    device_at: int
    type: str
    payload: Any
    oid: str
    channel: str | None

    @property
    def time(self) -> datetime:
        """Its time, aware."""
        return _EPOCH + timedelta(milliseconds=self.at)

    @cached_property
    def text(self) -> str:
        """Its payload as a text that can be compared."""
        return text_of(self.payload)


@frozen
class Truth:
    """Three devices: one with 130 messages in one millisecond, one plain, one without messages.

    Attributes:
        rows: by device id, oldest first.
    """

    rows: Mapping[str, Sequence[Row]]

    @property
    def devices(self) -> list[str]:
        """The ids: crowded, plain, silent."""
        return list(self.rows)


@cache
def truth(*, odd_type: str, whole_seconds: bool) -> Truth:
    """Make the data; one message in ten has `odd_type`, and times may be whole seconds."""
    random = Random(5)
    ids = [str(UUID(int=random.getrandbits(128))) for _ in range(3)]
    unit = 1000 if whole_seconds else 1
    at = round(_BEGIN.timestamp() * 1000)
    crowded = _series(random, 300, at, odd_type, unit)
    at = crowded[-1].at + 5 * unit
    crowded += [
        Row(at, at, "userdefined", {"tie": n // 2}, f"{9000 + n:024x}", None) for n in range(_TIED)
    ]
    crowded += _series(random, 40, at, odd_type, unit, first=300)
    plain = _series(random, 250, at, odd_type, unit)
    return Truth(dict(zip(ids, (crowded, plain, []), strict=True)))


def _series(
    random: Random, count: int, at: int, odd_type: str, unit: int, first: int = 0
) -> list[Row]:
    rows = []
    for n in range(first, first + count):
        at += random.choice(_STEPS) * unit
        if n % 50 == 0:
            at = -(-at // 1000) * 1000  # a time without a fraction
        rows.append(
            Row(
                at=at,
                device_at=at - 37 * unit,
                type="userdefined" if random.random() < 0.9 else odd_type,
                payload=_payload(n if random.random() < 0.95 else 7),
                oid=f"{n:024x}",
                channel="c1" if n % 7 == 0 else None,
            )
        )
    return rows


def _payload(n: int) -> dict[str, Any]:
    return {"n": n, "text": 'é☃ "\\ 😀', "f": 1.5, "all": [None, True, {}]}
