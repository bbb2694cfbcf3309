"""Messages of one device."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ConfigurationError, DecodeError
from ..models import Message
from ..resources.messages import TypeFilter
from .arguments import mapping, time_of
from .connection import ProjectOption, in_project
from .output import FormatOption, Output, iso
from .strangers import tell_strangers

_COLUMNS = ["timestamp", "type", "channel", "payload"]


async def messages(
    device: str,
    /,
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-n"])] = None,
    query: str | None = None,
    start: str | None = None,
    end: str | None = None,
    type: TypeFilter = "all",  # noqa: A002
    order: Literal["asc", "desc"] = "asc",
    project: ProjectOption = None,
    format: FormatOption = None,  # noqa: A002
) -> None:
    """Messages of a device: the latest ones, or all between two times.

    Parameters
    ----------
    device
        The device's id.
    limit
        How many: of the latest, 10 by default and 100 at most; of a range, all by default.
    query
        A MongoDB filter of the latest, as JSON, such as '{"type": "userdefined"}'.
    start
        First time, inclusive, such as 2026-01-01T00:00Z; prints a range.
    end
        Last time, exclusive; prints a range.
    type
        Of a range: messages of which type.
    order
        Of a range: oldest or newest first.
    """
    filtered = mapping(query, name="--query")
    low, high = time_of(start, name="--start"), time_of(end, name="--end")
    if limit is not None and limit < 1:
        raise ConfigurationError(f"--limit must be 1 or more, not {limit}")
    output = Output(format)
    async with in_project(project) as found:
        if low is None and high is None and type == "all":
            latest = await found.messages.recent(device, limit=limit or 10, query=filtered)
            output.many([_record(message) for message in latest], _COLUMNS)
            return
        if filtered is not None:
            raise ConfigurationError("--query goes with the latest messages, not with a range")
        walk = found.messages.walk(device, start=low, end=high, type=type, order=order)
        shown = await output.stream(_records(walk, limit), _COLUMNS)
        await tell_strangers(found, [] if shown else [device])


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
