"""Devices as users write them: an id of either generation, or a unique name.

A device has one id in the project API (a UUID) and another in the fleet API (such as dev_01j3k).
Both lists have its name, and nothing else that connects them. So an id of the one generation is
turned into an id of the other by a name that one device alone has, and stderr says which it is.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import ConfigurationError, IottlyError, NotFoundError
from .console import say

if TYPE_CHECKING:
    from ..models import Device
    from ..resources import FleetDevices, Project

_ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_FLEET_ID: Final = re.compile(r"dev_[0-9A-Za-z_-]+")
_SHOWN: Final = 5
_NEAREST: Final = 3
_COMPARED: Final = 1_000  # devices of the fleet to which a mistyped id is compared


class Named(Protocol):
    """A device of either generation."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str | None: ...


class UnknownDeviceError(IottlyError):
    """No device of the project, or more than one, is meant by a text.

    The text names the nearest devices, or those that have the name.
    """


async def device_ids(
    project: Project,
    texts: Sequence[str],
    *,
    fleet: FleetDevices,
    listed: Sequence[Device] | None = None,
) -> list[str]:
    """Find the devices that are meant, by their ids in the project API.

    A text with the form of such an id is taken as one, without a request: a device that was
    removed from the project may have left messages. For other texts, the project's devices are
    listed once; an id of the fleet is one request more.

    Args:
        project: The project that has the devices.
        texts: Ids or unique names. A name's case does not matter if it is unique without it.
        fleet: The fleet's devices.
        listed: The project's devices; None lists them if they are needed.

    Returns:
        The ids, each once.

    Raises:
        ConfigurationError: A text is empty; nothing was sent.
        UnknownDeviceError: No device, or more than one, is meant.
    """
    refuse_empty(texts)
    if all(map(is_id, texts)):
        return list(dict.fromkeys(texts))
    devices = await project.devices.list() if listed is None else listed
    found = [await _device_id(text, devices, project.id, fleet) for text in texts]
    return list(dict.fromkeys(found))


async def _device_id(
    text: str, devices: Sequence[Device], project_id: str, fleet: FleetDevices
) -> str:
    if is_id(text):
        return text
    owner = f"project {project_id}"
    named = any(text.casefold() in (d.id.casefold(), (d.name or "").casefold()) for d in devices)
    if named or not is_fleet_id(text):
        return meant(text, devices, owner)
    try:
        name = (await fleet.get(text)).name
    except NotFoundError as error:
        raise await unknown_in_fleet(text, fleet) from error
    return _same_device(text, name, devices, owner)


async def fleet_id(text: str, *, fleet: FleetDevices, project: Project | None) -> str:
    """Find the device that is meant, by its id in the fleet API.

    A text with the form of such an id is taken as one, without a request. For another text,
    all devices of the fleet are listed.

    Args:
        text: An id or a unique name.
        fleet: The fleet's devices.
        project: The project; None if none was named. It is needed for an id of the project
            API.

    Returns:
        The id.

    Raises:
        ConfigurationError: The text is empty, or is an id of the project API and there is no
            project; nothing was sent.
        UnknownDeviceError: No device, or more than one, is meant.
    """
    refuse_empty([text])
    if is_fleet_id(text):
        return text
    if not is_id(text):
        return meant(text, [device async for device in fleet.list()], "the fleet")
    if project is None:
        raise ConfigurationError(
            f"{text} is an id of the project API; pass --project too, or the id or name that "
            "`iottly devices --fleet` lists"
        )
    devices = await project.devices.list()
    known = meant(text, devices, f"project {project.id}")
    name = {device.id: device.name for device in devices}[known]
    return _same_device(text, name, [device async for device in fleet.list()], "the fleet")


async def unknown_in_fleet(text: str, fleet: FleetDevices) -> UnknownDeviceError:
    """Make the error for an id that the fleet does not have, with the nearest devices."""
    devices: list[Named] = []
    async with aclosing(fleet.list()) as listed:
        async for device in listed:
            devices.append(device)
            if len(devices) == _COMPARED:
                break
    return _no_device(text, devices, "the fleet")


def _same_device(text: str, name: str | None, devices: Sequence[Named], owner: str) -> str:
    """The id of the device that has the same name in the other generation."""
    found = [device.id for device in devices if name and device.name == name]
    if len(found) == 1:
        say(f"{text} is {name!r} ({found[0]})")
        return found[0]
    same = f"{len(found):,} devices" if found else "no device"
    raise UnknownDeviceError(
        f"{text} has the name {name!r}, and {same} of {owner} has that name"
        if name
        else f"{text} has no name by which {owner} may know it; pass the device's other id"
    )


def is_id(text: str) -> bool:
    """Whether a text has the form of an id of the project API."""
    return _ID.fullmatch(text) is not None


def is_fleet_id(text: str) -> bool:
    """Whether a text has the form of an id of the fleet API."""
    return _FLEET_ID.fullmatch(text) is not None


def refuse_empty(texts: Iterable[str]) -> None:
    """Check that no id or name is empty.

    Raises:
        ConfigurationError: One is.
    """
    if not all(text.strip() for text in texts):
        raise ConfigurationError("a device is missing: its id or name is empty")


@asynccontextmanager
async def one_device(project: Project, text: str, *, fleet: FleetDevices) -> AsyncIterator[str]:
    """Find the device that is meant, and say which may be meant if the service has none.

    Args:
        project: The project that has the device.
        text: Its id or unique name.
        fleet: The fleet's devices.

    Yields:
        The device's id.

    Raises:
        UnknownDeviceError: As for `device_ids`, and if a request in the block was answered by
            404 and the project has no such device.
    """
    [device_id] = await device_ids(project, [text], fleet=fleet)
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
    return unknown_among(ids, devices, project.id)


def unknown_among(
    ids: Iterable[str], devices: Sequence[Device], project_id: str
) -> dict[str, UnknownDeviceError]:
    """Choose the ids that are of no device. Pure.

    Args:
        ids: Ids of devices.
        devices: All devices of the project.
        project_id: The project's id, for the errors' texts.

    Returns:
        The error of each id that the project does not have.
    """
    known = {device.id.casefold() for device in devices}
    return {
        each: _no_device(each, devices, f"project {project_id}")
        for each in ids
        if each.casefold() not in known
    }


def meant(text: str, devices: Sequence[Named], owner: str) -> str:
    """Choose the device that a text means. Pure.

    An id comes before a name, and a name as it is written before one in another case.

    Args:
        text: The id or the name.
        devices: All devices of the owner.
        owner: Who has the devices, for the error's text, such as "project 59c1".

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
    raise _no_device(text, devices, owner)


def _no_device(text: str, devices: Sequence[Named], owner: str) -> UnknownDeviceError:
    named: dict[str, str] = {}
    for device in devices:
        shown = f"{device.name!r} ({device.id})" if device.name else device.id
        named[device.id.casefold()] = shown
        if device.name:
            named[device.name.casefold()] = shown
    near = get_close_matches(text.casefold(), named, n=_NEAREST)
    nearest = " or ".join(dict.fromkeys(named[each] for each in near))
    listing = "iottly devices --fleet" if owner == "the fleet" else "iottly devices"
    advice = f"did you mean {nearest}?" if near else f"`{listing}` lists them"
    return UnknownDeviceError(f"{owner} has no device {text!r}; {advice}")
