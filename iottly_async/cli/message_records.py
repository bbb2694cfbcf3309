"""Messages as records that commands print."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

from ..errors import DecodeError
from .columns import selected
from .moments import iso_in

if TYPE_CHECKING:
    from ..models import BadRow, Message, MessageBatch

FIELDS: Final = (
    *("timestamp", "device_timestamp", "type", "channel", "payload", "payload_base64"),
    *("id", "key", "device_id", "extra"),
)
"""The names in a record."""

COLUMNS: Final = ("timestamp", "type", "channel", "payload")
"""The names that a table and CSV show of one device's messages."""


def titles(zone_name: str) -> dict[str, str]:
    """The headings of a table, which say in which time zone its times are."""
    return {name: f"{name} ({zone_name})" for name in ("timestamp", "device_timestamp")}


async def each_message(messages: Sequence[Message]) -> AsyncGenerator[Message, None]:
    """Yield messages one by one."""
    for message in messages:
        yield message


async def messages_of(
    batches: AsyncGenerator[MessageBatch, None], unread: list[BadRow]
) -> AsyncGenerator[Message, None]:
    """Yield the messages of batches.

    Args:
        batches: The batches; they are closed at the end.
        unread: Gets the rows that cannot be read.

    Yields:
        Each message.
    """
    async with aclosing(batches):
        async for batch in batches:
            unread += batch.rejected
            for message in batch.messages:
                yield message


async def records(
    messages: AsyncGenerator[Message, None],
    zone: tzinfo,
    *,
    columns: Sequence[str] | None,
    limit: int | None = None,
    names: Mapping[str, str] | None = None,
) -> AsyncGenerator[Mapping[str, Any], None]:
    """Convert messages into records as they come.

    Args:
        messages: The messages; they are closed at the end.
        zone: The time zone of the times.
        columns: The names in a record; None chooses all.
        limit: The most records; None is without a limit.
        names: What `device` has of a device, by its id; None leaves `device` out.

    Yields:
        A record a message.
    """
    async with aclosing(messages):
        async for message in messages:
            record = _record(message, zone)
            if names is not None:
                name = names.get(message.device_id, message.device_id)
                record = {"device": name, **record}
            yield selected(record, columns)
            if limit is not None:
                limit -= 1
                if limit == 0:
                    return


def _record(message: Message, zone: tzinfo) -> dict[str, Any]:
    device_time = message.device_timestamp
    record: dict[str, Any] = {
        "id": message.id,
        "key": message.key,
        "device_id": message.device_id,
        "timestamp": iso_in(message.timestamp, zone),
        "device_timestamp": None if device_time is None else iso_in(device_time, zone),
        "type": message.type,
        "channel": message.channel,
        "payload": None,
        "extra": message.extra or None,
    }
    try:
        record["payload"] = message.payload
    except DecodeError:
        record["payload_base64"] = b64encode(message.payload_json).decode()
    return record
