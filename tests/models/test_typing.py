"""The types of the public API as a type checker sees them; mypy reads this file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, assert_type

from iottly_async import (
    Board,
    Command,
    CommandResult,
    CommandStatus,
    Cursor,
    Device,
    FleetDevice,
    FleetDevicePage,
    FleetStatus,
    IottlySession,
    License,
    LicenseStatus,
    Message,
    MessageBatch,
    MessagePage,
    MessageType,
    OperatingStatus,
    ProjectInfo,
    Quota,
)


def messages(message: Message, page: MessagePage, batch: MessageBatch, cursor: Cursor) -> None:
    """The types of a message's attributes."""
    assert_type(message.device_id, str)
    assert_type(message.project_id, str | None)
    assert_type(message.timestamp, datetime)
    assert_type(message.device_timestamp, datetime | None)
    assert_type(message.type, MessageType | None)
    assert_type(message.payload, Any)
    assert_type(message.payload_json, bytes)
    assert_type(message.id, str | None)
    assert_type(message.channel, str | None)
    assert_type(message.key, str)
    assert_type(message.extra, Mapping[str, Any])
    assert_type(page.messages, tuple[Message, ...])
    assert_type(batch.messages, list[Message])
    assert_type(batch.cursor, Cursor)
    assert_type(cursor.to_json(), str)
    assert_type(Cursor.from_json("{}"), Cursor)
    assert_type(cursor.done, datetime)


def nouns(
    project: ProjectInfo, license_: License, board: Board, device: Device, quota: Quota
) -> None:
    """The types of the attributes of v1.0's other models."""
    assert_type(project.id, str)
    assert_type(project.agent_api_host, str | None)
    assert_type(license_.status, LicenseStatus)
    assert_type(license_.board, Board | None)
    assert_type(board.operating_status, OperatingStatus | None)
    assert_type(device.mac_address, str | None)
    assert_type(device.extra, Mapping[str, Any])
    assert_type(quota.remaining, int | None)


def fleet(page: FleetDevicePage, device: FleetDevice, sent: Command, ran: CommandResult) -> None:
    """The types of the attributes of v1's models."""
    assert_type(page.devices, tuple[FleetDevice, ...])
    assert_type(page.total, int)
    assert_type(device.status, FleetStatus | None)
    assert_type(device.last_seen_at, datetime | None)
    assert_type(sent.status, CommandStatus)
    assert_type(ran.exit_code, int | None)
    assert_type(ran.completed_at, datetime | None)


async def resources(session: IottlySession) -> None:
    """The types that the methods return."""
    project = session.project("p")
    assert_type(await session.ping(), None)
    assert_type(await project.inspect(), ProjectInfo)
    assert_type(await project.licenses.list(), list[License])
    assert_type(await project.licenses.get("t"), License)
    assert_type(await project.devices.list(), list[Device])
    assert_type(await project.devices.get("d"), Device)
    assert_type(await project.devices.rename("d", "n"), Device)
    assert_type(await project.commands.send("d", "echo", {"content": [1, None]}), None)
    assert_type(await project.messages.recent("d", query={"type": "userdefined"}), list[Message])
    assert_type(await project.messages.page("d", number=2), MessagePage)
    async for message in project.messages.walk("d", order="desc"):
        assert_type(message, Message)
    async for batch in project.messages.batches("d", type="userdefined"):
        assert_type(batch, MessageBatch)
    assert_type(await session.devices.page(1, 20), FleetDevicePage)
    assert_type(await session.devices.get("d"), FleetDevice)
    async for device in session.devices.list():
        assert_type(device, FleetDevice)
    assert_type(await session.commands.send("d", "uptime", timeout=1), Command)
    assert_type(await session.commands.get("c"), CommandResult)
    assert_type(await session.commands.wait("c", timeout=1), CommandResult)
    assert_type(await session.commands.run("d", "uptime", timeout=1), CommandResult)
    assert_type(session.quota, Quota)
    assert_type(session.with_options(timeout=1.0), IottlySession)


async def refused(session: IottlySession) -> None:
    """A type checker refuses these calls; otherwise the ignores would be errors."""
    walk = session.project("p").messages.walk
    walk("d", order="up")  # type: ignore[arg-type]
    walk("d", type="other")  # type: ignore[arg-type]
    walk("d", start="2026-01-01")  # type: ignore[arg-type]
    walk(1)  # type: ignore[arg-type]
    IottlySession(config={})  # type: ignore[arg-type]
    Message("d")  # type: ignore[call-arg]
    for _ in walk("d"):  # type: ignore[attr-defined]
        pass


def test_walks_are_iterated_over_as_any_async_iterator() -> None:
    """A walk can be passed as an async iterator of messages."""

    def takes(source: AsyncIterator[Message]) -> AsyncIterator[Message]:
        return source

    session = IottlySession("key")
    walk = session.project("p").messages.walk("d")
    assert takes(walk) is walk
