"""`iottly send`: a command to a device."""

from __future__ import annotations

from .arguments import named_values
from .connection import ProjectOption, in_project
from .console import say
from .device_names import one_device
from .profile import ProfileOption


async def send(
    device: str,
    cmd_type: str,
    /,
    *values: str,
    project: ProjectOption = None,
    profile: ProfileOption = None,
) -> None:
    """Send a command to a device. It is never sent twice.

    Args:
        device: The device's id or unique name.
        cmd_type: A message type that the project declares, such as echo.
        values: The command's parameters as name=value, such as content=hi.
            A value that is JSON is sent as JSON: level=3 sends a number,
            level='"3"' a text.
    """
    # Imported here, so that `iottly --help` loads no msgspec.
    from ..codec import encode_command

    parameters = named_values(values)
    encode_command(cmd_type, parameters)  # refused before the device's name is looked up
    async with (
        in_project(project, profile) as (session, found),
        one_device(found, device, fleet=session.devices) as device_id,
    ):
        await found.commands.send(device_id, cmd_type, parameters)
    named = device_id if device == device_id else f"{device} ({device_id})"
    say(f"the service accepted {cmd_type} for device {named}")
