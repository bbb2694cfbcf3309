"""The fleet API, call by call, against the emulator."""

from __future__ import annotations

from typing import Any

import pytest

from iottly_async import (
    CommandStatus,
    Config,
    ConfigurationError,
    DeadlineExceededError,
    DeviceOfflineError,
    FleetStatus,
    IottlySession,
    NotFoundError,
)
from iottly_async.emulator import Emulator


async def test_all_devices_are_walked_by_meta(session: IottlySession, emulator: Emulator) -> None:
    """Three devices at two a page cost two requests."""
    found = [device.id async for device in session.devices.list(per_page=2)]
    assert found == emulator.fleet_ids
    assert len(emulator.requests) == 2


def told(numbers: range, *, total: int, per_page: int) -> dict[str, Any]:
    """The answer of a service with these devices on a page."""
    devices = [{"id": f"dev_{n}", "name": "", "project_id": "p"} for n in numbers]
    return {"data": devices, "meta": {"total": total, "page": 1, "per_page": per_page}}


async def test_a_total_that_is_too_small_ends_nothing(
    session: IottlySession, emulator: Emulator
) -> None:
    """After a full page, further devices are asked for, whatever total the service tells."""
    pages = [told(range(n, n + 2), total=2, per_page=2) for n in (0, 2, 4)]
    for page in [*pages, told(range(6, 7), total=2, per_page=2)]:
        emulator.fault("status", route="fleet_devices", status=200, body=page)
    found = [device.id async for device in session.devices.list(per_page=2)]
    assert found == [f"dev_{n}" for n in range(7)]
    assert len(emulator.requests) == 4


async def test_a_service_with_shorter_pages_than_asked_for(
    session: IottlySession, emulator: Emulator
) -> None:
    """A service whose longest page is shorter than asked for, and says so, is read whole."""
    pages = [told(range(n, n + 2), total=1, per_page=2) for n in (0, 2)]
    for page in [*pages, told(range(0), total=1, per_page=2)]:
        emulator.fault("status", route="fleet_devices", status=200, body=page)
    assert [device.id async for device in session.devices.list()] == [f"dev_{n}" for n in range(4)]


async def test_a_service_without_page_numbers_is_no_endless_list(
    session: IottlySession, emulator: Emulator
) -> None:
    """A service that answers the same full page again and again ends the list."""
    page = told(range(2), total=2, per_page=2)
    emulator.fault("status", route="fleet_devices", status=200, body=page, count=None)
    assert [device.id async for device in session.devices.list(2)] == ["dev_0", "dev_1"]
    assert len(emulator.requests) == 2


async def test_a_page_tells_of_the_whole(session: IottlySession) -> None:
    """A page has the service's total, number and size."""
    page = await session.devices.page(2, 2)
    assert (page.total, page.number, page.per_page, len(page.devices)) == (3, 2, 2, 1)


async def test_one_device_is_got(session: IottlySession, emulator: Emulator) -> None:
    """A device is fetched by its id, and its times are aware."""
    device = await session.devices.get(emulator.fleet_ids[0])
    assert device.id == emulator.fleet_ids[0]
    assert device.last_seen_at is not None
    assert device.last_seen_at.tzinfo is not None


async def test_a_command_is_sent_and_waited_for(session: IottlySession, emulator: Emulator) -> None:
    """`run` sends once and returns the finished result."""
    result = await session.commands.run(emulator.fleet_ids[0], "uptime")
    assert result.status == CommandStatus.COMPLETED
    assert result.exit_code == 0
    assert result.completed_at is not None
    assert len(emulator.commands) == 1
    assert emulator.commands[0].body == {"command": "uptime", "timeout_s": 10}


async def test_a_command_that_does_not_end_is_given_up_waiting_for(
    emulator: Emulator, session: IottlySession
) -> None:
    """`wait` has a timeout of its own; its error says that the command may still end."""
    emulator.clock.pin()
    taken = await session.commands.send(emulator.fleet_ids[0], "uptime")
    with pytest.raises(DeadlineExceededError, match="may still end"):
        await session.commands.wait(taken.id, timeout=0.3)
    emulator.clock.advance(60)
    assert (await session.commands.wait(taken.id)).status == CommandStatus.COMPLETED


async def test_an_offline_device_is_told_by_its_code() -> None:
    """A command to an offline device is a DeviceOfflineError, and is not executed."""
    async with (
        Emulator(devices=20, messages=100) as emulator,
        IottlySession(emulator.api_key, config=Config(base_url=emulator.base_url)) as session,
    ):
        offline = [d.id async for d in session.devices.list() if d.status == FleetStatus.OFFLINE]
        with pytest.raises(DeviceOfflineError) as raised:
            await session.commands.send(offline[0], "uptime")
        assert raised.value.code == "device_offline"
        assert raised.value.request_id
        assert emulator.commands == []


async def test_what_is_not_there_is_not_found(session: IottlySession) -> None:
    """Unknown devices and commands are NotFoundError."""
    with pytest.raises(NotFoundError):
        await session.devices.get("dev_none")
    with pytest.raises(NotFoundError):
        await session.commands.get("cmd_none")


async def test_bad_arguments_are_refused_unsent(session: IottlySession, emulator: Emulator) -> None:
    """Wrong numbers, an empty command and a wrong id are refused before anything is sent."""
    for call in (
        session.devices.page(0),
        session.devices.page(1, 101),
        session.devices.get("a/b"),
        session.commands.send(emulator.fleet_ids[0], " "),
        session.commands.send(emulator.fleet_ids[0], "uptime", timeout=0),
        session.commands.get(".."),
    ):
        with pytest.raises(ConfigurationError):
            await call
    assert emulator.requests == []
