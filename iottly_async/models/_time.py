"""Times in the service's unit: whole milliseconds since the epoch, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import msgspec

from ..errors import ConfigurationError

_encode: Final = msgspec.json.Encoder().encode
_decode_texts: Final = msgspec.json.Decoder(list[str | None]).decode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def epoch_ms(time: datetime) -> int:
    """Convert an aware time to whole milliseconds since the epoch, rounded down."""
    return (time - _EPOCH) // _MILLISECOND


def from_epoch_ms(ms: int) -> datetime:
    """Convert milliseconds since the epoch to an aware UTC time."""
    return _EPOCH + ms * _MILLISECOND


def check_aware(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Validate the time of a model.

    Raises:
        ConfigurationError: it is not a datetime, or it is naive (D5).
    """
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ConfigurationError(
            f"{attribute.name} must be an aware datetime, such as with tzinfo=datetime.UTC, "
            f"not {value!r}"
        )


def whole_ms(times: Sequence[datetime | None]) -> Sequence[datetime | None]:
    """Convert aware times to UTC, rounded down to milliseconds; most are so already."""
    # A list takes half the time of a generator.
    finer = [t for t in times if t is not None and (t.microsecond % 1000 or t.tzinfo is not UTC)]
    if finer:
        return [None if t is None else from_epoch_ms(epoch_ms(t)) for t in times]
    return times


def iso_texts(times: Sequence[datetime | None]) -> list[str | None]:
    """Write aware times like "2026-04-05T06:07:08.009Z".

    One call for all of them costs a third of a call for each.
    """
    # JSON writes six digits of a second, or none if they are all 0.
    data = _encode(whole_ms(times)).replace(b'000Z"', b'z"')
    data = data.replace(b'Z"', b'.000Z"').replace(b'z"', b'Z"')
    return _decode_texts(data)
