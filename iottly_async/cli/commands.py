"""Commands to devices."""

from __future__ import annotations

from .arguments import pairs
from .connection import ProjectOption, in_project
from .output import say


async def send(
    device: str,
    cmd_type: str,
    /,
    *values: str,
    project: ProjectOption = None,
) -> None:
    """Send a command to a device; it is never sent twice.

    Parameters
    ----------
    device
        The device's id.
    cmd_type
        A message type that the project declares, such as echo.
    values
        Its parameters as name=value, such as content=hi.
        JSON is sent as such: level=3 is a number, and
        level='"3"' a text.
    """
    parameters = pairs(values)
    async with in_project(project) as found:
        await found.commands.send(device, cmd_type, parameters)
    say(f"{cmd_type} was taken for device {device}")
