"""`iottly messages`: messages of one device."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ConfigurationError, DecodeError, IottlyError
from .arguments import TypeOption, json_object, time_of
from .connection import ProjectOption, in_project
from .console import iso, say
from .output import FormatOption, Output
from .profile import ProfileOption

if TYPE_CHECKING:
    from ..models import Message
    from ..resources import Project

_COLUMNS = ["timestamp", "type", "channel", "payload"]


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
        device: The device's id.
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
    output = Output(format)
    async with in_project(project, profile) as found:
        if low is None and high is None and type == "all":
            latest = await found.messages.recent(device, limit=limit or 10, query=filtered)
            output.many([_record(message) for message in latest], _COLUMNS)
            return
        if filtered is not None:
            raise ConfigurationError(
                "--query filters the latest messages; it excludes --start, --end and --type"
            )
        walk = found.messages.walk(device, start=low, end=high, type=type, order=order)
        shown = await output.stream(_records(walk, limit), _COLUMNS)
        await warn_unknown_devices(found, [] if shown else [device])


async def warn_unknown_devices(project: Project, silent: Collection[str]) -> None:
    """Warn about devices without messages that do not belong to the project.

    The service answers an unknown device like a device without messages (D4), so this
    requests the project's list of devices. It is a warning and not an error: a device that
    was removed may have left messages. If the list cannot be fetched, there is no warning.

    Args:
        project: The project that should have the devices.
        silent: The ids of the named devices that had no message. If there are none, nothing
            is requested.
    """
    if not silent:
        return
    try:
        known = {device.id.casefold() for device in await project.devices.list()}
    except IottlyError:
        return
    for device_id in silent:
        if device_id.casefold() not in known:
            say(f"warning: project {project.id} has no device {device_id}; is the id right?")


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
