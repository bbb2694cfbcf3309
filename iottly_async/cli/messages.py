"""`iottly messages`: messages of one device."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from ..errors import ConfigurationError, DecodeError
from .arguments import TypeOption, json_object, time_of
from .connection import ProjectOption, in_project
from .console import iso
from .device_names import one_device, unknown_devices
from .output import FormatOption, Output
from .profile import ProfileOption

if TYPE_CHECKING:
    from ..models import Message

_COLUMNS = ["timestamp", "type", "channel", "payload"]
_MOST_RECENT: Final = 100


async def messages(
    device: str,
    /,
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-n"])] = None,
    query: str | None = None,
    start: str | None = None,
    end: str | None = None,
    type: TypeOption = "all",
    order: Literal["asc", "desc"] = "asc",
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> None:
    """Print the latest messages of a device, or all messages between two times.

    Args:
        device: The device's id or unique name.
        limit: The most messages to print: of the latest 10
            by default, up to 100; of a range, all by default.
        query: A MongoDB filter on the latest messages, as JSON,
            such as '{"type": "userdefined"}'.
        start: The first time, inclusive, such as 2026-01-01T00:00Z.
        end: The last time, exclusive.
        type: The type of messages between two times.
        order: The order of messages between two times: oldest (asc) or newest (desc) first.
    """
    filtered = json_object(query, name="--query")
    low, high = time_of(start, name="--start"), time_of(end, name="--end")
    if limit is not None and limit < 1:
        raise ConfigurationError(f"--limit must be 1 or more, not {limit}")
    recent = low is None and high is None and type == "all"
    if filtered is not None and not recent:
        raise ConfigurationError(
            "--query filters the latest messages; it excludes --start, --end and --type"
        )
    if recent and limit is not None and limit > _MOST_RECENT:
        raise ConfigurationError(
            f"--limit of the latest messages must be at most {_MOST_RECENT}, not {limit}; "
            "pass --start for more"
        )
    output = Output(format)
    async with in_project(project, profile) as found:
        found.messages.query("any", start=low, end=high)  # refused before a name is looked up
        async with one_device(found, device) as device_id:
            if recent:
                latest = await found.messages.recent(device_id, limit=limit or 10, query=filtered)
                output.many([_record(message) for message in latest], _COLUMNS)
                count = len(latest)
            else:
                walk = found.messages.walk(device_id, start=low, end=high, type=type, order=order)
                count = await output.stream(_records(walk, limit), _COLUMNS)
        if unknown := await unknown_devices(found, [] if count else [device_id]):
            raise unknown[device_id]


async def _records(
    walk: AsyncGenerator[Message, None], limit: int | None
) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(walk):
        async for message in walk:
            yield _record(message)
            if limit is not None:
                limit -= 1
                if limit == 0:
                    return


def _record(message: Message) -> dict[str, Any]:
    device_time = message.device_timestamp
    record: dict[str, Any] = {
        "id": message.id,
        "key": message.key,
        "device_id": message.device_id,
        "timestamp": iso(message.timestamp),
        "device_timestamp": None if device_time is None else iso(device_time),
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
