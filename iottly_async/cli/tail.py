"""`iottly tail`: live messages of some or all devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from ..errors import ConfigurationError
from .arguments import TypeOption
from .columns import columns_of
from .connection import ProjectOption, in_project
from .console import say
from .device_names import device_ids, refuse_empty, unknown_among
from .exit_codes import ExitCode
from .message_records import COLUMNS, FIELDS, records, titles
from .moments import zone_of
from .output import FormatOption, Output
from .profile import ProfileOption

if TYPE_CHECKING:
    from ..models import BadRow, Device

_COLUMNS_OF_MANY: Final = ("timestamp", "device", "type", "payload")


async def tail(
    *devices: str,
    limit: Annotated[int | None, Parameter(name=["--limit", "-n"])] = None,
    type: TypeOption = "all",
    columns: str | None = None,
    tz: str = "UTC",
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> ExitCode:
    """Print new messages of devices as they come, until Ctrl-C or SIGTERM.

    The messages come by the WebSocket stream if it works, and by polling else.
    stderr says which it is, and when the stream is disconnected and connected
    again. What was missed meanwhile is read from the history.

    Args:
        devices: Ids or unique names of devices; by default all devices of the project.
        limit: End after this number of messages.
        type: The type of messages.
        columns: What is printed of a message, such as timestamp,device,payload.temperature.
            The device is its unique name or, without one, its id.
        tz: The time zone of printed times, such as Europe/Rome.
    """
    chosen = columns_of(columns, names=("device", *FIELDS))
    zone = zone_of(tz)
    if limit is not None and limit < 1:
        raise ConfigurationError(f"--limit must be 1 or more, not {limit}")
    refuse_empty(devices)
    output = Output(format)
    # Imported here, so that `iottly --help` loads no aiohttp.
    from .live import live_messages

    unread: list[BadRow] = []
    async with in_project(project, profile) as (session, found):
        listed = await found.devices.list()
        ids = None
        if devices:
            ids = await device_ids(found, devices, fleet=session.devices, listed=listed)
            for error in unknown_among(ids, listed, found.id).values():
                raise error
        count = len(listed if ids is None else ids)
        source = live_messages(session, found, ids, count=count, type=type, unread=unread)
        rows = records(source, zone, columns=chosen, limit=limit, names=_names(listed))
        usual = COLUMNS if ids is not None and len(ids) == 1 else _COLUMNS_OF_MANY
        await output.stream(rows, chosen or usual, titles(tz))
    if unread:
        say(f"rows that cannot be read, and were left out: {len(unread)}")
    return ExitCode.PARTLY if unread else ExitCode.DONE


def _names(devices: Iterable[Device]) -> Mapping[str, str]:
    """What a device is called: by its name, if no other device has it."""
    named = [(device.id, device.name) for device in devices if device.name]
    counts = Counter(name for _, name in named)
    return {device_id: name for device_id, name in named if counts[name] == 1}
