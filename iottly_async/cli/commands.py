"""`iottly send`: a command to a device."""

from __future__ import annotations

from .arguments import named_values
from .connection import ProjectOption, in_project
from .console import say
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
        device: The device's id.
        cmd_type: A message type that the project declares, such as echo.
        values: The command's parameters as name=value, such as content=hi.
            A value that is JSON is sent as JSON: level=3 sends a number,
            level='"3"' a text.
    """
    parameters = named_values(values)
    async with in_project(project, profile) as found:
        await found.commands.send(device, cmd_type, parameters)
    say(f"the service accepted {cmd_type} for device {device}")
