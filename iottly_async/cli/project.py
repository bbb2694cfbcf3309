"""Commands about a project and its devices: ping, inspect, licenses, devices, rename."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from ..errors import ConfigurationError
from .connection import ProjectOption, connected, in_project
from .console import iso
from .device_names import one_device
from .output import FormatOption, Output, record_of
from .profile import ProfileOption, load_profile

if TYPE_CHECKING:
    from ..models import Device
    from ..resources import Project

_AT_ONCE: Final = 8  # requests for last messages


async def ping(*, profile: ProfileOption = None, format: FormatOption = None) -> None:
    """Check that the service answers."""
    async with connected(load_profile(profile, None)) as session:
        started = perf_counter()
        await session.ping()
        elapsed = perf_counter() - started
        Output(format).one(
            {"status": "pong", "base_url": session.config.base_url, "seconds": round(elapsed, 3)}
        )


async def inspect(
    *,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> None:
    """Print the summary of the project."""
    async with in_project(project, profile) as (_, found):
        Output(format).one(record_of(await found.inspect()))


async def licenses(
    *,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> None:
    """List the project's licences and the devices that use them."""
    async with in_project(project, profile) as (_, found):
        records = [record_of(each) for each in await found.licenses.list()]
    for record in records:
        board = record["board"] or {}
        record["device_id"], record["device"] = board.get("id"), board.get("name")
    Output(format).many(records, ["token", "status", "device_id", "device"])


async def devices(
    *,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    fleet: Annotated[bool, Parameter(negative="", help="Use the fleet API (v1).")] = False,
    last_message: Annotated[bool, Parameter(negative="")] = False,
    show_tokens: Annotated[bool, Parameter(negative="")] = False,
    wide: Annotated[bool, Parameter(negative="")] = False,
    format: FormatOption = None,
) -> None:
    """List the project's devices.

    Args:
        last_message: Show the time of each device's last message. This is a request
            a device.
        show_tokens: Show the tokens of the licences.
        wide: Show all columns, also if they are wider than the terminal, and cut nothing.
    """
    output = Output(format, wide=wide)
    if fleet:
        if last_message or show_tokens:
            raise ConfigurationError(
                "--last-message and --show-tokens are of the project API; leave out --fleet"
            )
        async with connected(load_profile(profile, None)) as session:
            listed = [record_of(device) async for device in session.devices.list()]
        output.many(listed, ["id", "status", "last_seen_at", "name"])
        return
    async with in_project(project, profile) as (_, named):
        found = await named.devices.list()
        records = [record_of(device) for device in found]
        if last_message:
            times = await _last_times(named, found)
            for record in records:
                record["last_message"] = times.get(record["id"])
    if not show_tokens:
        for record in records:
            del record["token"]
    more = ["agent_version", "mac_address"] if wide else []
    more += ["token"] if show_tokens else []
    more += ["last_message"] if last_message else []
    columns = ["id", "operating_status", *more, "name"]
    output.many(records, columns, {"operating_status": "status"})


async def rename(
    device: str,
    name: str,
    /,
    *,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> None:
    """Rename a device.

    Args:
        device: The device's id or unique name.
        name: The new name.
    """
    if not name:
        raise ConfigurationError("the new name is empty")
    async with (
        in_project(project, profile) as (session, found),
        one_device(found, device, fleet=session.devices) as device_id,
    ):
        Output(format).one(record_of(await found.devices.rename(device_id, name)))


async def _last_times(project: Project, devices: Sequence[Device]) -> dict[str, str]:
    """The time of each device's last message, by the device's id.

    These are walks and not single calls, so that they wait for quota as long as they must.
    """
    from asyncio import Semaphore

    from ..aio.tasks import run_together

    at_once = Semaphore(_AT_ONCE)
    times: dict[str, str] = {}

    async def find(device_id: str) -> None:
        walk = project.messages.walk(device_id, order="desc", on_bad_row="skip")
        async with at_once, aclosing(walk):
            async for message in walk:
                times[device_id] = iso(message.timestamp)
                return

    await run_together(find(device.id) for device in devices)
    return times
