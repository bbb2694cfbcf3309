"""Devices that were named and are none of the project's: a mistyped id has no messages."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import IottlyError
from ..resources import Project
from .output import say


async def tell_strangers(project: Project, silent: Collection[str]) -> None:
    """Say which of the devices without a message are none of the project's.

    The service answers alike for no such device and for none of its messages (D4), so its
    list is asked. It is no error: a device that was removed may have left messages. Where
    the list cannot be had, nothing is said.

    Args:
        project: whose devices they should be.
        silent: ids of the devices that were named and had no message; none asks nothing.
    """
    if not silent:
        return
    try:
        known = {device.id.casefold() for device in await project.devices.list()}
    except IottlyError:
        return
    for device_id in silent:
        if device_id.casefold() not in known:
            say(f"device {device_id}: project {project.id} has no such device; is the id right?")
