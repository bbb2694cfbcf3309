"""Arguments that several methods take, checked: device ids, cursors, a range of time, an order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ..codec import ORDERS, choice
from ..errors import ConfigurationError, CursorMismatchError
from ..models import Cursor
from ..models._time import epoch_ms
from ..models.cursor import Order
from ..times import aware
from ..walk import most_intervals
from ..wire import segment


def checked_ids(ids: Iterable[str], *, name: str = "device_ids") -> list[str]:
    """The ids in the order given, each once.

    Args:
        ids: of devices.
        name: the argument's name, for the error's text.

    Raises:
        ConfigurationError: one text, no iterable, or an id that cannot stand in a path.
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        given = "one text" if isinstance(ids, str) else type(ids).__name__
        raise ConfigurationError(f"{name} must be several ids, such as a list, not {given}")
    found = list(ids)
    for device_id in found:
        segment(device_id, name=name)
    return list(dict.fromkeys(found))


def checked_cursors(cursors: Mapping[str, Cursor] | None) -> dict[str, Cursor]:
    """The cursors by device id; empty for None.

    Raises:
        ConfigurationError: it is not a mapping.
    """
    if cursors is None:
        return {}
    if not isinstance(cursors, Mapping):
        raise ConfigurationError(
            f"cursors must be a mapping of device ids to cursors, not {type(cursors).__name__}"
        )
    return dict(cursors)


def check_intervals(cursor: Cursor | None, *, concurrency: int) -> None:
    """Check that a walk with so many requests at once can have left this cursor.

    Each interval of a cursor costs a request. A cursor that was made up could have thousands.

    Raises:
        CursorMismatchError: it has too many intervals.
    """
    most = most_intervals(concurrency)
    if isinstance(cursor, Cursor) and len(cursor.remaining) > most:
        raise CursorMismatchError(
            f"the cursor has {len(cursor.remaining)} intervals, and a walk with concurrency="
            f"{concurrency} leaves {most} at most: pass the concurrency that it was made with"
        )


def time_range(start: datetime | None, end: datetime | None) -> tuple[int | None, int | None]:
    """A half-open range in whole milliseconds since the epoch; None where it is open.

    Both bounds are rounded up, so that the range holds the same whole milliseconds.

    Raises:
        ConfigurationError: a time is naive, or `start` is not before `end`.
    """
    low = None if start is None else -(-_microseconds(start, "start") // 1000)
    high = None if end is None else -(-_microseconds(end, "end") // 1000)
    if low is not None and high is not None and low >= high:
        raise ConfigurationError(f"start must be before end; they are {start} and {end}")
    return low, high


def _microseconds(time: datetime, name: str) -> int:
    time = aware(time, name=name)
    return epoch_ms(time) * 1000 + time.microsecond % 1000


def checked_order(order: str) -> Order:
    """`order`, if it is "asc" or "desc".

    Raises:
        ConfigurationError: it is neither.
    """
    return "asc" if choice(order, ORDERS, name="order") == "asc" else "desc"
