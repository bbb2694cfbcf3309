"""The fleet API, ``/v1/``: devices, and commands with results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from ..codec import encode_fleet_command, fleet_query
from ..config import Seconds, seconds
from ..errors import DeadlineExceededError
from ..models import Command, CommandResult, FleetDevice, FleetDevicePage
from ..wire import Route, segment
from .context import Context

_PAGE: Final = Route("fleet.devices.page", "GET", "v1", "devices")
_DEVICE: Final = Route("fleet.devices.get", "GET", "v1", "devices/{device}")
_SEND: Final = Route("fleet.commands.send", "POST", "v1", "devices/{device}/commands", command=True)
_RESULT: Final = Route("fleet.commands.get", "GET", "v1", "commands/{command}")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_GROWTH: Final = 1.6


class FleetDevices:
    """The devices of the key's project (v1, "List devices"), as `session.devices`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(self, number: int = 1, per_page: int = 20) -> FleetDevicePage:
        """Fetch one page of devices.

        Args:
            number: of the page, from 1, which is the default.
            per_page: devices a page, 1 to 100. Default 20.

        Returns:
            The page, with the number of devices on all pages.

        Raises:
            ConfigurationError: an argument is not as above; nothing was sent.
        """
        answers = self._context.answers
        return await self._context.call(
            _PAGE,
            ["devices"],
            lambda body: answers.fleet_page(body, number, per_page),
            query=fleet_query(number, per_page),
        )

    async def list(self, per_page: int = 100) -> AsyncGenerator[FleetDevice, None]:
        """Yield all devices, page by page.

        If devices are added or removed meanwhile, pages shift. A device that moves to a
        later page is yielded once. A device that moves to a page that was read already is
        missed: the endpoint has no other order. The service's total is not relied on to end:
        a full page is followed by another request.

        Args:
            per_page: devices a request, 1 to 100. Default 100.

        Yields:
            Each device once, in the service's order.

        Raises:
            ConfigurationError: `per_page` is not as above; nothing was sent.

        Example:
            ```python
            async for device in session.devices.list():
                print(device.id, device.status)
            ```
        """
        number, read = 1, 0
        seen: set[str] = set()
        while True:
            page = await self.page(number, per_page)
            new = [device for device in page.devices if device.id not in seen]
            for device in new:
                if device.id not in seen:
                    seen.add(device.id)
                    yield device
            read += len(page.devices)
            # A page may hold fewer devices than requested, if the service has a limit; and the
            # total may be too small. A page of known devices ends a service without numbers.
            full = len(page.devices) >= min(per_page, page.per_page) and new
            if not page.devices or (read >= page.total and not full):
                return
            number += 1

    async def get(self, device_id: str) -> FleetDevice:
        """Fetch one device.

        Args:
            device_id: such as "dev_01j3k".

        Returns:
            The device.

        Raises:
            ConfigurationError: `device_id` cannot stand in a path; nothing was sent.
            NotFoundError: there is no such device.
        """
        answers = self._context.answers
        path = ["devices", segment(device_id, name="device_id")]
        return await self._context.call(
            _DEVICE, path, lambda body: answers.fleet_device(body, device_id)
        )


class FleetCommands:
    """Commands to devices and their results (v1, "Send a command"), as `session.commands`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send(self, device_id: str, command: str, *, timeout: Seconds = 10.0) -> Command:
        """Send a command. The library never sends it twice by itself (D10).

        Args:
            device_id: such as "dev_01j3k".
            command: what the device runs.
            timeout: seconds that the command may run on the device. Default 10.

        Returns:
            The command with its id, for `wait`.

        Raises:
            ConfigurationError: the command is empty, or the id cannot stand in a path;
                nothing was sent.
            DeviceOfflineError: the device is not connected; the command was not sent to it.
            CommandOutcomeUnknownError: the command may or may not have reached the device.
        """
        body = encode_fleet_command(command, seconds(timeout, name="timeout"))
        path = ["devices", segment(device_id, name="device_id"), "commands"]
        return await self._context.call(_SEND, path, self._context.answers.command, body=body)

    async def get(self, command_id: str) -> CommandResult:
        """Fetch the state of a command (v1, "Get command result").

        Args:
            command_id: of the command, as `send` returned it.

        Returns:
            The state, and the output if the command has ended.

        Raises:
            ConfigurationError: `command_id` cannot stand in a path; nothing was sent.
            NotFoundError: there is no such command.
        """
        answers = self._context.answers
        path = ["commands", segment(command_id, name="command_id")]
        return await self._context.call(
            _RESULT, path, lambda body: answers.command_result(body, command_id)
        )

    async def wait(self, command_id: str, *, timeout: Seconds | None = None) -> CommandResult:
        """Wait until a command has ended.

        The result is polled, with pauses that grow from 0.1 s to 5 s. Each poll costs a
        request of the quota.

        Args:
            command_id: of the command, as `send` returned it.
            timeout: seconds to wait. None (the default) is the session's timeout.

        Returns:
            The result, with exit code and output.

        Raises:
            DeadlineExceededError: the command has not ended within `timeout`. It may still
                end, and `wait` can be called again.
            NotFoundError: there is no such command.
        """
        limit = self._context.timeout if timeout is None else seconds(timeout, name="timeout")
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                return await self._poll(command_id)
        except TimeoutError:
            if not scope.expired():
                raise
        raise DeadlineExceededError(
            f"command {command_id} has not ended within {limit:g} s; it may still end", sent="yes"
        )

    async def run(self, device_id: str, command: str, *, timeout: Seconds = 10.0) -> CommandResult:
        """Send a command, and wait for its result.

        Args:
            device_id: such as "dev_01j3k".
            command: what the device runs.
            timeout: seconds that the command may run on the device, and that its result is
                waited for once the service has accepted it. Default 10.

        Returns:
            The result, with exit code and output.

        Raises:
            ConfigurationError: the command is empty, or the id cannot stand in a path;
                nothing was sent.
            DeviceOfflineError: the device is not connected; the command was not sent to it.
            CommandOutcomeUnknownError: the command may or may not have reached the device.
            DeadlineExceededError: it was accepted, and has not ended within `timeout`.

        Example:
            ```python
            result = await session.commands.run("dev_01j3k", "uptime")
            print(result.exit_code, result.stdout)
            ```
        """
        command_sent = await self.send(device_id, command, timeout=timeout)
        try:
            return await self.wait(command_sent.id, timeout=timeout)
        except asyncio.CancelledError as error:
            error.add_note(f"iottly-async: the command was sent before this, as {command_sent.id}")
            raise

    async def _poll(self, command_id: str) -> CommandResult:
        pause = _FIRST_PAUSE
        while not (result := await self.get(command_id)).status.finished:
            await self._context.pipeline.pause(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        return result
