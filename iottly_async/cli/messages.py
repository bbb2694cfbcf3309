"""`iottly messages`: messages of one device."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from attrs import frozen
from cyclopts import Parameter

from ..errors import ConfigurationError
from .arguments import TypeOption, json_object
from .columns import columns_of
from .connection import ProjectOption, in_project
from .console import say
from .device_names import one_device, unknown_devices
from .exit_codes import ExitCode
from .message_records import COLUMNS, FIELDS, each_message, messages_of, records, titles
from .moments import ago, iso_in, moment, zone_of
from .output import FormatOption, Output
from .profile import ProfileOption

if TYPE_CHECKING:
    from ..models import BadRow, Message
    from ..resources import Project

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
    asked = _checked(
        limit=limit,
        query=query,
        since=since,
        start=start,
        end=end,
        tz=tz,
        type=type,
        order=order,
        follow=follow,
    )
    chosen = columns_of(columns, names=FIELDS)
    output = Output(format)
    unread: list[BadRow] = []
    async with in_project(project, profile) as (session, found):
        # A wrong range is refused before a name is looked up.
        found.messages.query("any", start=asked.start, end=asked.end)
        async with one_device(found, device, fleet=session.devices) as device_id:
            if follow and (unknown := await unknown_devices(found, [device_id])):
                raise unknown[device_id]
            source = await _fetched(found, device_id, asked, unread)
            rows = records(source, asked.zone, columns=chosen, limit=limit)
            count = await output.stream(rows, chosen or COLUMNS, titles(tz))
        if unknown := await unknown_devices(found, [] if count else [device_id]):
            raise unknown[device_id]
    if unread:
        say(f"rows that cannot be read, and were left out: {len(unread)}")
    return ExitCode.PARTLY if unread else ExitCode.DONE


@frozen(kw_only=True)
class _Asked:
    """Which messages a command line asks for, checked.

    Attributes:
        start: The first time, inclusive; None is open.
        end: The last time, exclusive; None is open.
        zone: The zone of printed times.
        type: The type of messages.
        order: The order of messages between two times.
        follow: Whether new messages are awaited.
        recent: How many of the latest messages are asked for; None is a range.
        query: The filter of the latest messages; None filters nothing.
    """

    start: datetime | None
    end: datetime | None
    zone: tzinfo
    type: TypeOption
    order: Literal["asc", "desc"]
    follow: bool
    recent: int | None
    query: Mapping[str, Any] | None


def _checked(
    *,
    limit: int | None,
    query: str | None,
    since: str | None,
    start: str | None,
    end: str | None,
    tz: str,
    type: TypeOption,
    order: Literal["asc", "desc"],
    follow: bool,
) -> _Asked:
    """Check the arguments of `messages`.

    Raises:
        ConfigurationError: An argument is wrong, or two exclude each other.
    """
    from ..clock import SYSTEM_CLOCK  # here, so that `iottly --help` loads no asyncio

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
    return _Asked(
        start=low,
        end=high,
        zone=zone,
        type=type,
        order=order,
        follow=follow,
        recent=(limit or 10) if recent else None,
        query=filtered,
    )


async def _fetched(
    project: Project, device_id: str, asked: _Asked, unread: list[BadRow]
) -> AsyncGenerator[Message, None]:
    """The messages that are asked for; `unread` gets the rows that cannot be read."""
    if asked.recent is not None:
        latest = project.messages.recent(device_id, limit=asked.recent, query=asked.query)
        return each_message(await latest)
    if asked.follow:
        begun = "" if asked.start is None else f", from {iso_in(asked.start, asked.zone)} on"
        say(f"following device {device_id}{begun} (Ctrl-C ends)")
        batches = project.messages.follow(
            device_id, start=asked.start, type=asked.type, on_bad_row="skip"
        )
    else:
        batches = project.messages.batches(
            device_id,
            start=asked.start,
            end=asked.end,
            type=asked.type,
            order=asked.order,
            on_bad_row="skip",
        )
    return messages_of(batches, unread)
