"""What lies under ``/v1.0/project/<P>/``: the project, its licences, devices and commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..codec import Answers, encode_command, encode_rename
from ..models import Device, License, ProjectInfo
from ..pipeline import Requester
from ..wire import Request, Route, segment, target
from .context import Context
from .messages import Messages

PING: Final = Route("ping", "GET", "v1.0")
_INSPECT: Final = Route("project.inspect", "GET", "v1.0")
_LICENSES: Final = Route("licenses.list", "GET", "v1.0")
_LICENSE: Final = Route("licenses.get", "GET", "v1.0")
_DEVICES: Final = Route("devices.list", "GET", "v1.0")
_DEVICE: Final = Route("devices.get", "GET", "v1.0")
_RENAME: Final = Route("devices.rename", "PUT", "v1.0")
_COMMAND: Final = Route("commands.send", "POST", "v1.0", command=True)


async def ping(requester: Requester, answers: Answers) -> None:
    """Ask the service for a sign of life."""
    path = target("v1.0", ["project", "ping"])
    await requester.call(Request(PING, path, lambda answer: answers.ping(answer.body)))


class Project:
    """One project, by its id; making one sends nothing.

    Attributes:
        id: the project's id.
        licenses, devices, commands, messages: what lies under it.
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
        """Summary of the project (v1.0, "Project Inspection").

        Raises:
            IottlyError: see the table of errors; `ForbiddenError` where the key is
                another project's.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _INSPECT,
                target("v1.0", [*self._path, "inspect"]),
                lambda answer: context.answers.project(answer.body, self.id),
            )
        )


class Licenses:
    """The licences of a project (v1.0, "License Inspection")."""

    def __init__(self, context: Context, path: list[str]) -> None:
        self._context = context
        self._path = [*path, "license"]

    async def list(self) -> list[License]:
        """All licences of the project, paired and available, in the service's order."""
        context = self._context
        return await context.requester.call(
            Request(
                _LICENSES,
                target("v1.0", self._path),
                lambda answer: context.answers.licenses(answer.body),
            )
        )

    async def get(self, token: str) -> License:
        """The licence with this token.

        Raises:
            ConfigurationError: `token` cannot stand in a path.
            NotFoundError: there is none.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _LICENSE,
                target("v1.0", [*self._path, segment(token, name="token")]),
                lambda answer: context.answers.license(answer.body, token),
            )
        )


class Devices:
    """The devices of a project (v1.0, "Device Properties")."""

    def __init__(self, context: Context, path: list[str]) -> None:
        self._context = context
        self._path = path

    async def list(self) -> list[Device]:
        """All devices of the project, in the service's order."""
        context = self._context
        return await context.requester.call(
            Request(
                _DEVICES,
                target("v1.0", [*self._path, "devices", "props"]),
                lambda answer: context.answers.devices(answer.body),
            )
        )

    async def get(self, device_id: str) -> Device:
        """The device with this id.

        Raises:
            ConfigurationError: `device_id` cannot stand in a path.
            NotFoundError: there is none.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _DEVICE,
                self._props(device_id),
                lambda answer: context.answers.device(answer.body, device_id),
            )
        )

    async def rename(self, device_id: str, name: str) -> Device:
        """Give the device another name; the updated device (v1.0, "Edit device name").

        Raises:
            ConfigurationError: `name` is empty, or `device_id` cannot stand in a path.
            NotFoundError: there is no such device.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _RENAME,
                self._props(device_id),
                lambda answer: context.answers.device(answer.body, device_id),
                encode_rename(name),
            )
        )

    def _props(self, device_id: str) -> str:
        device = segment(device_id, name="device_id")
        return target("v1.0", [*self._path, "device", device, "props"])


class Commands:
    """Commands to the devices of a project (v1.0, "Command API")."""

    def __init__(self, context: Context, path: list[str]) -> None:
        self._context = context
        self._path = path

    async def send(
        self, device_id: str, cmd_type: str, values: Mapping[str, Any] | None = None
    ) -> None:
        """Send a command; it is never sent twice by the library on its own (D10).

        Args:
            device_id: of the device.
            cmd_type: a message type that the project declares.
            values: its parameters; each key gets the prefix ``<cmd_type>.`` unless it
                has it. None sends none.

        Raises:
            ConfigurationError: an empty name, or a value that JSON cannot hold; nothing
                was sent.
            BadRequestError: the project does not declare `cmd_type`.
            CommandOutcomeUnknownError: it may or may not have reached the device.
        """
        device = segment(device_id, name="device_id")
        body = encode_command(cmd_type, {} if values is None else values)
        path = target("v1.0", [*self._path, "device", device, "command"])
        await self._context.requester.call(Request(_COMMAND, path, lambda _: None, body))
