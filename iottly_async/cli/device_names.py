"""Devices as users write them: the unique name of a device is as good as its id."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, IottlyError, NotFoundError

if TYPE_CHECKING:
    from ..models import Device
    from ..resources import Project

_ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_SHOWN: Final = 5
_NEAREST: Final = 3


class UnknownDeviceError(IottlyError):
    """No device of the project, or more than one, is meant by a text.

    The text names the nearest devices, or those that have the name.
    """


async def device_ids(project: Project, texts: Sequence[str]) -> list[str]:
    """Find the devices that are meant.

    A text with the form of an id is taken as one, without a request: a device that was removed
    from the project may have left messages. For other texts, the project's devices are listed
    once.

    Args:
        project: The project that has the devices.
        texts: Ids or unique names. A name's case does not matter if it is unique without it.

    Returns:
        The ids, each once.

    Raises:
        ConfigurationError: A text is empty; nothing was sent.
        UnknownDeviceError: No device, or more than one, is meant.
    """
    if not all(text.strip() for text in texts):
        raise ConfigurationError("a device is missing: its id or name is empty")
    if all(map(_ID.fullmatch, texts)):
        found = list(texts)
    else:
        devices = await project.devices.list()
        found = [
            text if _ID.fullmatch(text) else meant(text, devices, project.id) for text in texts
        ]
    return list(dict.fromkeys(found))


@asynccontextmanager
async def one_device(project: Project, text: str) -> AsyncIterator[str]:
    """Find the device that is meant, and say which may be meant if the service has none.

    Args:
        project: The project that has the device.
        text: Its id or unique name.

    Yields:
        The device's id.

    Raises:
        UnknownDeviceError: As for `device_ids`, and if a request in the block was answered by
            404 and the project has no such device.
    """
    [device_id] = await device_ids(project, [text])
    try:
        yield device_id
    except NotFoundError as error:
        if unknown := await unknown_devices(project, [device_id]):
            raise unknown[device_id] from error
        raise


async def unknown_devices(project: Project, ids: Iterable[str]) -> dict[str, UnknownDeviceError]:
    """Find out which ids are of no device of the project.

    The service answers an unknown device like a device without messages (D4), so the
    project's devices are listed, if there is an id to look for. If they cannot be listed, no
    device counts as unknown.

    Args:
        project: The project that should have the devices.
        ids: Ids of devices.

    Returns:
        The error of each id that the project does not have.
    """
    if not (ids := list(ids)):
        return {}
    try:
        devices = await project.devices.list()
    except IottlyError:
        return {}
    known = {device.id.casefold() for device in devices}
    return {
        each: _no_device(each, devices, project.id) for each in ids if each.casefold() not in known
    }


def meant(text: str, devices: Sequence[Device], project_id: str) -> str:
    """Choose the device that a text means. Pure.

    An id comes before a name, and a name as it is written before one in another case.

    Args:
        text: The id or the name.
        devices: All devices of the project.
        project_id: The project's id, for the error's text.

    Returns:
        The device's id.

    Raises:
        UnknownDeviceError: No device, or more than one, is meant.
    """
    folded = text.casefold()
    for found in (
        [device for device in devices if device.id.casefold() == folded],
        [device for device in devices if device.name == text],
        [device for device in devices if (device.name or "").casefold() == folded],
    ):
        if len(found) == 1:
            return found[0].id
        if found:
            raise UnknownDeviceError(
                f"{len(found):,} devices have the name {text!r}; pass the id of one: "
                + ", ".join(device.id for device in found[:_SHOWN])
                + (", …" if len(found) > _SHOWN else "")
            )
    raise _no_device(text, devices, project_id)


def _no_device(text: str, devices: Sequence[Device], project_id: str) -> UnknownDeviceError:
    named: dict[str, str] = {}
    for device in devices:
        shown = f"{device.name!r} ({device.id})" if device.name else device.id
        named[device.id.casefold()] = shown
        if device.name:
            named[device.name.casefold()] = shown
    near = get_close_matches(text.casefold(), named, n=_NEAREST)
    nearest = " or ".join(dict.fromkeys(named[each] for each in near))
    advice = f"did you mean {nearest}?" if near else "`iottly devices` lists them"
    return UnknownDeviceError(f"project {project_id} has no device {text!r}; {advice}")
