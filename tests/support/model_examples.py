"""One value of each model, for tests of how models are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from iottly_async import (
    BadRow,
    Board,
    Command,
    CommandResult,
    CommandStatus,
    Cursor,
    Device,
    FleetDevice,
    FleetDevicePage,
    Gap,
    License,
    LicenseStatus,
    Message,
    MessageBatch,
    MessagePage,
    MessageType,
    OperatingStatus,
    Outage,
    ProjectInfo,
    Quota,
)

TIME = datetime(2026, 4, 30, 12, 0, 0, 250_000, tzinfo=UTC)
MESSAGE = Message(
    device_id="d",
    project_id="p",
    timestamp=TIME,
    type=MessageType.USERDEFINED,
    payload_json=b'{"t":37.4}',
    extra={"signal": -71},
).numbered(2)
CURSOR = Cursor(
    project_id="p",
    device_id="d",
    type="all",
    order="asc",
    start=None,
    end=None,
    remaining=((5, 9),),
    pinned_end=9,
)
BOARD = Board(id="b", operating_status=OperatingStatus("rebooting"))
FLEET = FleetDevice(id="dev_1", last_seen_at=TIME)
EXAMPLES: Final[list[Any]] = [
    BadRow(index=3, path="$.messages[3]", raw=b"7", reason="expected an object"),
    BOARD,
    Command(id="cmd_1", status=CommandStatus.PENDING),
    CommandResult(id="cmd_1", status=CommandStatus.COMPLETED, exit_code=0, completed_at=TIME),
    CURSOR,
    Device(id="d", name="n", extra={"installing": False}),
    FLEET,
    FleetDevicePage(devices=(FLEET,), total=1, number=1, per_page=20),
    Gap(start=None, end=TIME, reason="since", missed=3),
    License(token="t", status=LicenseStatus.PAIRED, board=BOARD),
    MESSAGE,
    MessageBatch(messages=[MESSAGE], cursor=CURSOR),
    MessagePage(messages=(MESSAGE,)),
    Outage(since=TIME, seconds=1.5, reason="ConnectError"),
    ProjectInfo(id="p"),
    Quota(
        limit=60,
        remaining=3,
        resets_at=TIME,
        waiting=0,
        in_flight=0,
        refusals=0,
        source="server",
    ),
]
