"""What lies under ``/v1/``: the fleet's devices, and commands with results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from ..codec import encode_fleet_command, fleet_query
from ..config import Seconds, seconds
from ..errors import DeadlineExceededError
from ..models import Command, CommandResult, FleetDevice, FleetDevicePage
from ..wire import Request, Route, segment, target
from .context import Context

_PAGE: Final = Route("fleet.devices.page", "GET", "v1")
_DEVICE: Final = Route("fleet.devices.get", "GET", "v1")
_SEND: Final = Route("fleet.commands.send", "POST", "v1", command=True)
_RESULT: Final = Route("fleet.commands.get", "GET", "v1")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_GROWTH: Final = 1.6


class FleetDevices:
    """The devices of the key's project (v1, "List devices")."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(self, number: int = 1, per_page: int = 20) -> FleetDevicePage:
        """One page of devices.

        Args:
            number: from 1.
            per_page: devices a page, 1 to 100.

        Raises:
            ConfigurationError: an argument is not as above; nothing was sent.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _PAGE,
                target("v1", ["devices"], fleet_query(number, per_page)),
                lambda answer: context.answers.fleet_page(answer.body, number, per_page),
            )
        )

    async def list(self, per_page: int = 100) -> AsyncGenerator[FleetDevice, None]:
        """All devices, page by page, as many pages as the service's total asks for.

        A device that moves to another page because one was added or removed meanwhile
        is handed out once, by its id; one that slips to a page already read is missed,
        as the endpoint has no other order to ask for.

        Args:
            per_page: devices a request, 1 to 100.
        """
        number, read = 1, 0
        seen: set[str] = set()
        while True:
            page = await self.page(number, per_page)
            for device in page.devices:
                if device.id not in seen:
                    seen.add(device.id)
                    yield device
            # A page may hold fewer than were asked for, where the service sets a bound.
            read += len(page.devices)
            if not page.devices or read >= page.total:
                return
            number += 1

    async def get(self, device_id: str) -> FleetDevice:
        """The device with this id.

        Raises:
            ConfigurationError: `device_id` cannot stand in a path.
            NotFoundError: there is none.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _DEVICE,
                target("v1", ["devices", segment(device_id, name="device_id")]),
                lambda answer: context.answers.fleet_device(answer.body, device_id),
            )
        )


class FleetCommands:
    """Commands to devices, and their results (v1, "Send a command")."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send(self, device_id: str, command: str, *, timeout: Seconds = 10.0) -> Command:
        """Send a command; it is never sent twice by the library on its own (D10).

        Args:
            device_id: such as "dev_01j3k".
            command: what the device is to run.
            timeout: seconds that the device gives it.

        Raises:
            ConfigurationError: an empty command, or an id that cannot stand in a path.
            DeviceOfflineError: the device is not connected; it was not sent.
            CommandOutcomeUnknownError: it may or may not have reached the device.
        """
        context = self._context
        body = encode_fleet_command(command, seconds(timeout, name="timeout"))
        return await context.requester.call(
            Request(
                _SEND,
                target("v1", ["devices", segment(device_id, name="device_id"), "commands"]),
                lambda answer: context.answers.command(answer.body),
                body,
            )
        )

    async def get(self, command_id: str) -> CommandResult:
        """How far a command is (v1, "Get command result").

        Raises:
            ConfigurationError: `command_id` cannot stand in a path.
            NotFoundError: there is none.
        """
        context = self._context
        return await context.requester.call(
            Request(
                _RESULT,
                target("v1", ["commands", segment(command_id, name="command_id")]),
                lambda answer: context.answers.command_result(answer.body, command_id),
            )
        )

    async def wait(self, command_id: str, *, timeout: Seconds | None = None) -> CommandResult:
        """The result of a command, once it has ended.

        Polls with pauses that grow from 0.1 s to 5 s; every poll spends quota like any
        other call.

        Args:
            command_id: of `send`.
            timeout: seconds to wait in all; None takes the session's timeout.

        Raises:
            DeadlineExceededError: it has not ended within `timeout`; it may still end,
                and another `wait` goes on where this one stopped.
        """
        left = self._context.timeout if timeout is None else seconds(timeout, name="timeout")
        limit = asyncio.timeout(left)
        try:
            async with limit:
                return await self._poll(command_id)
        except TimeoutError:
            if not limit.expired():
                raise
        raise DeadlineExceededError(
            f"command {command_id} has not ended within {left:g} s; it may still end", sent="yes"
        )

    async def run(self, device_id: str, command: str, *, timeout: Seconds = 10.0) -> CommandResult:
        """Send a command and wait for its result.

        Args:
            device_id: such as "dev_01j3k".
            command: what the device is to run.
            timeout: seconds that the device gives it, and that its result is waited for
                after that it was taken.

        Raises:
            DeviceOfflineError: the device is not connected; it was not sent.
            CommandOutcomeUnknownError: it may or may not have reached the device.
            DeadlineExceededError: it was taken, and has not ended in time.
        """
        taken = await self.send(device_id, command, timeout=timeout)
        try:
            return await self.wait(taken.id, timeout=timeout)
        except asyncio.CancelledError as error:
            error.add_note(f"iottly-async: the command was sent before this, as {taken.id}")
            raise

    async def _poll(self, command_id: str) -> CommandResult:
        pause = _FIRST_PAUSE
        while not (result := await self.get(command_id)).status.finished:
            await self._context.pause(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        return result
