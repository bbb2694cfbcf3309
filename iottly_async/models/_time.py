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
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - it stands for UTC (D5)
_MILLISECOND: Final = timedelta(milliseconds=1)


def epoch_ms(time: datetime) -> int:
    """Convert an aware time to whole milliseconds since the epoch, rounded down."""
    return (time - EPOCH) // _MILLISECOND


def from_epoch_ms(ms: int) -> datetime:
    """Convert milliseconds since the epoch to an aware UTC time."""
    return EPOCH + ms * _MILLISECOND


def naive_ms(time: datetime) -> int:
    """Convert a naive UTC time to whole milliseconds since the epoch, rounded down."""
    return (time - NAIVE_EPOCH) // _MILLISECOND


def naive_from_ms(ms: int) -> datetime:
    """Convert milliseconds since the epoch to a naive UTC time."""
    return NAIVE_EPOCH + ms * _MILLISECOND


def utc_text(ms: int) -> str:
    """Write milliseconds since the epoch like "2026-04-05T06:07:08.009Z", for people."""
    return naive_from_ms(ms).isoformat(timespec="milliseconds") + "Z"


def as_utc(time: datetime) -> datetime:
    """Give a naive UTC time its zone."""
    # replace(tzinfo=UTC) would cost ten times this difference.
    return EPOCH + (time - NAIVE_EPOCH)


def as_naive(time: datetime) -> datetime:
    """Convert an aware time to a naive UTC time."""
    return NAIVE_EPOCH + (time - EPOCH)


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


def naive_iso_texts(times: Sequence[datetime | None]) -> list[str | None]:
    """Write naive UTC times like "2026-04-05T06:07:08.009Z", rounded down to milliseconds.

    One call for all of them costs a third of a call for each.
    """
    # JSON writes six digits of a second, or none if they are all 0.
    data = _encode(times)
    shorter = data.replace(b'000"', b'Z"')
    texts = _decode_texts(shorter)
    if len(data) - len(shorter) < 2 * (len(times) - times.count(None)):
        return [_in_ms(text) if text and text[-1] != "Z" else text for text in texts]
    return texts


def _in_ms(text: str) -> str:
    return f"{text[:23]}Z" if "." in text else f"{text}.000Z"


def digest_texts(times: Sequence[datetime | None]) -> list[str | None]:
    """Write naive UTC times as a digest takes them, rounded down to milliseconds.

    It is the form in which msgspec writes aware times: "2026-04-05T06:07:08.009000Z", or
    "2026-04-05T06:07:08Z" for a whole second.
    """
    data = _encode(times)
    longer = data.replace(b'000"', b'000Z"')
    texts = _decode_texts(longer)
    if len(longer) - len(data) < len(times) - times.count(None):
        return [_in_whole_ms(text) if text and text[-1] != "Z" else text for text in texts]
    return texts


def _in_whole_ms(text: str) -> str:
    second, ms = text[:19], text[20:23]
    return f"{second}Z" if ms in ("", "000") else f"{second}.{ms}000Z"
