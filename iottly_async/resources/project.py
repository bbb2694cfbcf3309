"""One project, ``/v1.0/project/<P>/``: its licences, devices, commands and messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..codec import encode_command, encode_rename
from ..config import Seconds
from ..models import Device, License, ProjectInfo
from ..wire import Route, segment
from .context import Context
from .messages import Messages

_PING: Final = Route("ping", "GET", "v1.0", "project/ping")
_INSPECT: Final = Route("project.inspect", "GET", "v1.0", "project/{project}/inspect")
_LICENSES: Final = Route("licenses.list", "GET", "v1.0", "project/{project}/license")
_LICENSE: Final = Route("licenses.get", "GET", "v1.0", "project/{project}/license/{license}")
_DEVICES: Final = Route("devices.list", "GET", "v1.0", "project/{project}/devices/props")
_DEVICE: Final = Route("devices.get", "GET", "v1.0", "project/{project}/device/{device}/props")
_RENAME: Final = Route("devices.rename", "PUT", "v1.0", "project/{project}/device/{device}/props")
_COMMAND: Final = Route(
    "commands.send", "POST", "v1.0", "project/{project}/device/{device}/command", command=True
)


async def ping(context: Context) -> None:
    """Ping the service."""
    await context.call(_PING, ["project", "ping"], context.answers.ping)


class Project:
    """One project, as `session.project(project_id)`. Creating it sends nothing.

    Attributes:
        id: the project's id.
        licenses: its licences (`Licenses`).
        devices: its devices (`Devices`).
        commands: commands to its devices (`Commands`).
        messages: the messages of its devices (`Messages`).

    Example:
        ```python
        project = session.project("59c19cacecc01400075f3bc9")
        for device in await project.devices.list():
            print(device.id, device.name, device.operating_status)
        ```
    """

    def __init__(self, context: Context, project_id: str) -> None:
        self.id = project_id
        self._context = context
        self._path = ["project", segment(project_id, name="project_id")]
        self.licenses = Licenses(context, self._path)
        self.devices = Devices(context, self._path)
        self.commands = Commands(context, self._path)
        self.messages = Messages(context, project_id, self.devices.list)

    def __repr__(self) -> str:
        return f"Project({self.id!r})"

    async def inspect(self) -> ProjectInfo:
        """Fetch the summary of the project (v1.0, "Project Inspection").

        Returns:
            The project's name, and where its agent is downloaded.

        Raises:
            ForbiddenError: the key belongs to another project.
        """
        answers = self._context.answers
        path = [*self._path, "inspect"]
        return await self._context.call(_INSPECT, path, lambda body: answers.project(body, self.id))


class Licenses:
    """The licences of a project (v1.0, "License Inspection"), as `project.licenses`."""

    def __init__(self, context: Context, path: list[str]) -> None:
        self._context = context
        self._path = [*path, "license"]

    async def list(self) -> list[License]:
        """Fetch all licences of the project.

        Returns:
            The licences, paired and available, in the service's order.
        """
        return await self._context.call(_LICENSES, self._path, self._context.answers.licenses)

    async def get(self, token: str) -> License:
        """Fetch one licence.

        Args:
            token: of the licence.

        Returns:
            The licence, with the board that it is paired with.

        Raises:
            ConfigurationError: `token` cannot stand in a path; nothing was sent.
            NotFoundError: there is no such licence.
        """
        answers = self._context.answers
        path = [*self._path, segment(token, name="token")]
        return await self._context.call(_LICENSE, path, lambda body: answers.license(body, token))


class Devices:
    """The devices of a project (v1.0, "Device Properties"), as `project.devices`."""

    def __init__(self, context: Context, path: list[str]) -> None:
        self._context = context
        self._path = path

    async def list(self, *, patience: Seconds | None = None) -> list[Device]:
        """Fetch all devices of the project.

        Args:
            patience: seconds for which failures that pass are waited out, `math.inf` without
                end, for work that goes by itself. None (the default): the call fails within
                its timeout.

        Returns:
            The devices in the service's order.

        Raises:
            ConfigurationError: `patience` is negative, or no number of seconds.
        """
        context = self._context
        patient = None if patience is None else context.patience(patience)
        path = [*self._path, "devices", "props"]
        return await context.call(_DEVICES, path, context.answers.devices, patience=patient)

    async def get(self, device_id: str) -> Device:
        """Fetch one device.

        Args:
            device_id: the device's id.

        Returns:
            The device.

        Raises:
            ConfigurationError: `device_id` cannot stand in a path; nothing was sent.
            NotFoundError: there is no such device.
        """
        return await self._call(_DEVICE, device_id)

    async def rename(self, device_id: str, name: str) -> Device:
        """Rename a device (v1.0, "Edit device name").

        Args:
            device_id: the device's id.
            name: its new name, not empty.

        Returns:
            The device with its new name.

        Raises:
            ConfigurationError: `name` is empty, or `device_id` cannot stand in a path;
                nothing was sent.
            NotFoundError: there is no such device.
        """
        return await self._call(_RENAME, device_id, encode_rename(name))

    async def _call(self, route: Route, device_id: str, body: bytes | None = None) -> Device:
        answers = self._context.answers
        path = [*self._path, "device", segment(device_id, name="device_id"), "props"]
        return await self._context.call(
            route, path, lambda body: answers.device(body, device_id), body=body
        )


class Commands:
    """Commands to the devices of a project (v1.0, "Command API"), as `project.commands`."""

    def __init__(self, context: Context, path: list[str]) -> None:
        self._context = context
        self._path = path

    async def send(
        self, device_id: str, cmd_type: str, values: Mapping[str, Any] | None = None
    ) -> None:
        """Send a command. The library never sends it twice by itself (D10).

        A value that is ``""`` or None is sent as it is. The platform may drop it, and the
        device then gets the default that the project declares, as for a parameter that is not
        given at all (D15).

        Args:
            device_id: the device's id.
            cmd_type: a message type that the project declares.
            values: the command's parameters. A key without the prefix ``<cmd_type>.`` gets
                it. None (the default) sends no parameters.

        Raises:
            ConfigurationError: a name is empty, or JSON cannot hold a value; nothing was
                sent.
            BadRequestError: the project does not declare `cmd_type`.
            CommandOutcomeUnknownError: the command may or may not have reached the device.
                Its text has what the service answered: a platform may answer 500 for a
                `cmd_type` that the project does not declare (D16).

        Example:
            ```python
            await project.commands.send(device_id, "echo", {"content": "hello"})
            ```
        """
        body = encode_command(cmd_type, {} if values is None else values)
        path = [*self._path, "device", segment(device_id, name="device_id"), "command"]
        await self._context.call(_COMMAND, path, self._context.answers.project_command, body=body)
