"""`iottly messages`: messages of one device."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from ..errors import ConfigurationError, DecodeError
from .arguments import TypeOption, json_object
from .columns import columns_of, selected
from .connection import ProjectOption, in_project
from .console import say
from .device_names import one_device, unknown_devices
from .exit_codes import ExitCode
from .moments import ago, iso_in, moment, zone_of
from .output import FormatOption, Output
from .profile import ProfileOption

if TYPE_CHECKING:
    from ..models import BadRow, Message, MessageBatch

_COLUMNS = ["timestamp", "type", "channel", "payload"]
_FIELDS: Final = (
    *("timestamp", "device_timestamp", "type", "channel", "payload", "payload_base64"),
    *("id", "key", "device_id", "extra"),
)
_MOST_RECENT: Final = 100


async def messages(
    device: str,
    /,
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-n"])] = None,
    query: str | None = None,
    since: str | None = None,
    start: str | None = None,
    end: str | None = None,
    tz: str = "UTC",
    type: TypeOption = "all",
    order: Literal["asc", "desc"] = "asc",
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    columns: str | None = None,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> ExitCode:
    """Print the latest messages of a device, all between two times, or new ones.

    Messages are printed as they come. Ctrl-C ends the command, and what it printed
    is whole. Between two times, rows that cannot be read are left out and counted;
    the exit code is then 4.

    Args:
        device: The device's id or unique name.
        limit: The most messages to print: of the latest 10
            by default, up to 100; of a range, all by default.
        query: A MongoDB filter on the latest messages, as JSON,
            such as '{"type": "userdefined"}'.
        since: How long ago the first message was sent, such as 90m or 7d.
        start: The first time, inclusive, such as 2026-01-01, 2026-01-01T12:00Z,
            today or yesterday.
        end: The last time, exclusive.
        tz: The time zone of times that name none, and of those printed,
            such as Europe/Rome.
        type: The type of messages between two times.
        order: The order of messages between two times: oldest (asc) or newest (desc) first.
        follow: Print new messages as they come, after those since --start, until Ctrl-C.
        columns: What is printed of a message, such as timestamp,payload.temperature.
    """
    from ..clock import SYSTEM_CLOCK  # here, so that `iottly --help` loads no asyncio

    chosen = columns_of(columns, names=_FIELDS)
    filtered = json_object(query, name="--query")
    zone, now = zone_of(tz), datetime.fromtimestamp(SYSTEM_CLOCK.time(), UTC)
    if since is not None and start is not None:
        raise ConfigurationError("--since and --start both say where to begin; pass one of them")
    low = moment(start, name="--start", zone=zone, now=now)
    if since is not None:
        low = ago(since, name="--since", now=now)
    high = moment(end, name="--end", zone=zone, now=now)
    if limit is not None and limit < 1:
        raise ConfigurationError(f"--limit must be 1 or more, not {limit}")
    recent = low is None and high is None and type == "all" and not follow
    if filtered is not None and not recent:
        raise ConfigurationError(
            "--query filters the latest messages; it excludes --since, --start, --end, --type "
            "and --follow"
        )
    if follow and (high is not None or order == "desc"):
        raise ConfigurationError("--follow has no end, and goes forward: leave out --end and desc")
    if recent and limit is not None and limit > _MOST_RECENT:
        raise ConfigurationError(
            f"--limit of the latest messages must be at most {_MOST_RECENT}, not {limit}; "
            "pass --start for more"
        )
    output = Output(format)
    unread: list[BadRow] = []
    titles = {name: f"{name} ({tz})" for name in ("timestamp", "device_timestamp")}
    async with in_project(project, profile) as found:
        found.messages.query("any", start=low, end=high)  # refused before a name is looked up
        async with one_device(found, device) as device_id:
            if follow and (unknown := await unknown_devices(found, [device_id])):
                raise unknown[device_id]
            if recent:
                latest = found.messages.recent(device_id, limit=limit or 10, query=filtered)
                source = _each(await latest)
            elif follow:
                begun = "" if low is None else f", from {iso_in(low, zone)} on"
                say(f"following device {device_id}{begun} (Ctrl-C ends)")
                follower = found.messages.follow(device_id, start=low, type=type, on_bad_row="skip")
                source = _of_batches(follower, unread)
            else:
                batches = found.messages.batches(
                    device_id, start=low, end=high, type=type, order=order, on_bad_row="skip"
                )
                source = _of_batches(batches, unread)
            records = _records(source, limit, chosen, zone)
            count = await output.stream(records, chosen or _COLUMNS, titles)
        if unknown := await unknown_devices(found, [] if count else [device_id]):
            raise unknown[device_id]
    if unread:
        say(f"rows that cannot be read, and were left out: {len(unread)}")
    return ExitCode.PARTLY if unread else ExitCode.DONE


async def _each(messages: Sequence[Message]) -> AsyncGenerator[Message, None]:
    for message in messages:
        yield message


async def _of_batches(
    batches: AsyncGenerator[MessageBatch, None], unread: list[BadRow]
) -> AsyncGenerator[Message, None]:
    async with aclosing(batches):
        async for batch in batches:
            unread += batch.rejected
            for message in batch.messages:
                yield message


async def _records(
    messages: AsyncGenerator[Message, None],
    limit: int | None,
    columns: Sequence[str] | None,
    zone: tzinfo,
) -> AsyncGenerator[Mapping[str, Any], None]:
    async with aclosing(messages):
        async for message in messages:
            yield selected(_record(message, zone), columns)
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
