"""Commands about a project and its devices: ping, inspect, licenses, devices, rename."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

from cyclopts import Parameter

from .connection import ProjectOption, connected, in_project
from .output import FormatOption, Output, record_of
from .profile import ProfileOption, load_profile


async def ping(*, profile: ProfileOption = None, format: FormatOption = None) -> None:
    """Check that the service answers."""
    async with connected(load_profile(profile, None).config) as session:
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
    async with in_project(project, profile) as found:
        Output(format).one(record_of(await found.inspect()))


async def licenses(
    *,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> None:
    """List the project's licences and the devices that use them."""
    async with in_project(project, profile) as found:
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
    format: FormatOption = None,
) -> None:
    """List the project's devices."""
    output = Output(format)
    if fleet:
        async with connected(load_profile(profile, None).config) as session:
            found = (record_of(device) async for device in session.devices.list())
            await output.stream(found, ["id", "status", "last_seen_at", "name"])
        return
    async with in_project(project, profile) as named:
        records = [record_of(device) for device in await named.devices.list()]
    output.many(
        records, ["id", "operating_status", "agent_version", "mac_address", "token", "name"]
    )


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
        device: The device's id.
        name: The new name.
    """
    async with in_project(project, profile) as found:
        Output(format).one(record_of(await found.devices.rename(device, name)))
