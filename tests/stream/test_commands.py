"""Commands over a stream, against the emulator."""

from __future__ import annotations

import asyncio

import pytest

from iottly_async import (
    CommandOutcomeUnknownError,
    DeadlineExceededError,
    DeviceOfflineError,
    IottlySession,
)
from iottly_async.emulator import Emulator

from .helpers import until


async def test_a_command_and_its_result(fleet: Emulator, live: IottlySession) -> None:
    """A command that ends returns its exit code and its output."""
    async with live.stream() as stream:
        result = await stream.run(fleet.fleet_ids[0], "echo hi")
        assert (result.stdout, result.exit_code, result.extra) == ("hi\n", 0, {})


async def test_a_command_to_an_offline_device_is_refused(
    fleet: Emulator, live: IottlySession
) -> None:
    """The error is the same as over HTTP."""
    fleet.set_connected(fleet.fleet_ids[0], False)
    async with live.stream() as stream:
        with pytest.raises(DeviceOfflineError) as offline:
            await stream.run(fleet.fleet_ids[0], "uptime")
        assert offline.value.code == "device_offline"


async def test_a_result_is_fetched_over_http_if_the_connection_ends(
    fleet: Emulator, live: IottlySession
) -> None:
    """A command that was accepted has an id, and its result does not need the connection."""
    async with live.stream() as stream:
        running = asyncio.create_task(stream.run(fleet.fleet_ids[0], "sleep 1", timeout=20))
        await until(lambda: fleet.commands)
        await until(lambda: stream._supervisor.commands._pending["c1"].command_id)
        fleet.drop_streams()
        fleet.clock.advance(5)
        assert (await running).exit_code == 0
        assert len(fleet.commands) == 1


async def test_a_command_that_was_not_confirmed_is_not_sent_again(
    fleet: Emulator, live: IottlySession
) -> None:
    """If the connection ends before the command is accepted, its outcome is unknown (D10)."""
    async with live.stream() as stream:
        await stream.until_connected()
        fleet.stall_streams()
        running = asyncio.create_task(stream.run(fleet.fleet_ids[0], "uptime"))
        await asyncio.sleep(0.02)
        fleet.drop_streams()
        with pytest.raises(CommandOutcomeUnknownError):
            await running
        await fleet.until_streams(2)
        assert len(fleet.commands) <= 1


async def test_a_command_without_a_connection_is_not_sent(
    fleet: Emulator, live: IottlySession
) -> None:
    """A command waits for a connection; if none comes in time, the error says `sent="no"`."""
    fleet.fault("status", route="stream", status=503, count=None)
    async with live.stream() as stream:
        with pytest.raises(DeadlineExceededError) as late:
            await stream.run(fleet.fleet_ids[0], "uptime", timeout=0.05)
        assert late.value.sent == "no"
