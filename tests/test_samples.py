"""The examples of the vendor's page: each is read by its model, or written by its encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from iottly_async import (
    Board,
    Command,
    CommandResult,
    CommandStatus,
    Device,
    DeviceOfflineError,
    FleetDevice,
    FleetDevicePage,
    FleetStatus,
    License,
    LicenseStatus,
    Message,
    MessageType,
    OperatingStatus,
    ProjectInfo,
)
from iottly_async.codec import (
    Answers,
    decode_history,
    decode_message,
    encode_command,
    encode_fleet_command,
    encode_rename,
)
from iottly_async.ratelimit.headers import Observation, read_observation
from iottly_async.wire import Answer, Request, Route, read_answer

SAMPLES: Final = Path(__file__).parent / "samples"
ANSWERS: Final = Answers()
PROJECT: Final = "59c19cacecc01400075f3bc9"
DEVICE: Final = "3781de91-d446-4c64-825d-756dd60f2dab"

PAIRED: Final = License(
    token="<license_token>",
    status=LicenseStatus.PAIRED,
    board=Board(
        id="9af78306-384e-4dbc-9d63-af21cc5496a8",
        name="board 1",
        mac_address="02:43:3d:0a:07:1f",
        operating_status=OperatingStatus.CONNECTED,
    ),
)
LISTED: Final = Device(
    id="<device unique ID>",
    name="<device name>",
    mac_address="<MAC address>",
    operating_status=OperatingStatus.CONNECTED,
    token="<license token>",
    agent_version="<agent version>",
)
MESSAGE: Final = Message(
    device_id=DEVICE,
    project_id=PROJECT,
    timestamp=datetime(2017, 9, 20, 0, 33, 27, 230_000, UTC),
    type=MessageType.USERDEFINED,
    payload_json=b'{ "sensor_data_reading": { "temperature": 37.4 } }',
)
GATEWAY: Final = FleetDevice(
    id="dev_01j3k...",
    name="gateway-milan-01",
    project_id="prj_...",
    status=FleetStatus.ONLINE,
    last_seen_at=datetime(2026, 5, 6, 14, 22, tzinfo=UTC),
)

READ: Final[dict[str, tuple[Callable[[bytes], Any], Any]]] = {
    "project.json": (
        ANSWERS.project,
        ProjectInfo(
            id="<project unique id>",
            name="<project name>",
            agent_url="<agent download url>",
            agent_file="<agent installer filename>",
            agent_api_host="<project api hostname>",
            board="<device type, e.g. Linux ARMv5>",
        ),
    ),
    "licenses.json": (
        ANSWERS.licenses,
        [PAIRED, License(token="<another_license_token>", status=LicenseStatus.AVAILABLE)],
    ),
    "devices.json": (ANSWERS.devices, [LISTED]),
    "history.json": (
        lambda body: decode_history(body, project_id=PROJECT, device_id=DEVICE).messages,
        [MESSAGE],
    ),
    "fleet_devices.json": (
        lambda body: ANSWERS.fleet_page(body, 1, 20),
        FleetDevicePage(devices=(GATEWAY,), total=42, number=1, per_page=20),
    ),
    "fleet_command.json": (
        ANSWERS.command,
        Command(id="cmd_...", status=CommandStatus.PENDING),
    ),
    "fleet_command_result.json": (
        lambda body: ANSWERS.command_result(body, "cmd_..."),
        CommandResult(
            id="cmd_...",
            status=CommandStatus.COMPLETED,
            exit_code=0,
            stdout=" 14:22:45 up 12 days,  3:11,  0 users,  load average: 0.02",
            stderr="",
            completed_at=datetime(2026, 5, 6, 14, 22, 46, tzinfo=UTC),
        ),
    ),
}

WRITTEN: Final[dict[str, Callable[[], bytes]]] = {
    "rename.request.json": lambda: encode_rename("my-sensor-01"),
    "command.request.json": lambda: encode_command(
        "read_sensor_data", {"sensortype": "temperature"}
    ),
    "command_echo.request.json": lambda: encode_command("echo", {"echo.content": "hello!"}),
    "fleet_command.request.json": lambda: encode_fleet_command("uptime", 10.0),
}

OTHERS: Final = {"fleet_error.json", "rate_limit.headers"}


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@pytest.mark.parametrize("name", READ)
def test_an_answer_is_read_by_its_model(name: str) -> None:
    """Each answer on the page becomes its model, field by field."""
    read, expected = READ[name]
    assert read(sample(name)) == expected


@pytest.mark.parametrize("name", ["devices.json", "fleet_devices.json", "project.json"])
def test_nothing_that_the_page_prints_is_extra(name: str) -> None:
    """Every field on the page has a field of its own in the model."""
    found = READ[name][0](sample(name))
    for model in found if isinstance(found, list) else getattr(found, "devices", [found]):
        assert model.extra == {}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_body_is_written_as_the_page_prints_it(name: str) -> None:
    """Each request body on the page is what its encoder writes."""
    assert json.loads(WRITTEN[name]()) == json.loads(sample(name))


def test_a_message_of_the_history_stands_alone_too() -> None:
    """A single message, as a webhook sends it, is read like one of the history."""
    (row,) = json.loads(sample("history.json"))["messages"]
    message = decode_message(json.dumps(row).encode())
    assert (message.device_id, message.timestamp) == (DEVICE, MESSAGE.timestamp)
    assert message.payload == MESSAGE.payload == {"sensor_data_reading": {"temperature": 37.4}}


def test_the_error_becomes_its_exception() -> None:
    """The fleet API's error becomes the exception of its code, with its code and request id."""
    route = Route("fleet.command", "POST", "v1", command=True)
    request = Request(route, "/v1/devices/dev_1/commands", lambda answer: answer, body=b"{}")
    with pytest.raises(DeviceOfflineError, match="The device is not currently connected") as caught:
        read_answer(request, Answer(409, {}, sample("fleet_error.json")))
    assert caught.value.code == "device_offline"
    assert caught.value.request_id == "req_..."


def test_the_rate_limit_headers_are_understood() -> None:
    """The three header fields on the page are read as a quota."""
    lines = sample("rate_limit.headers").decode().splitlines()
    headers = dict(line.lower().split(": ") for line in lines)
    assert read_observation(headers) == Observation(limit=600, remaining=597, reset=1746537600.0)


def test_every_sample_is_read_by_a_test() -> None:
    """Every file in the folder is read by a test."""
    files = {path.name for path in SAMPLES.iterdir()} - {"README.md"}
    assert files == READ.keys() | WRITTEN.keys() | OTHERS
