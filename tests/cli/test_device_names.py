"""Devices are named by their id or their unique name, in every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from iottly_async.cli.device_names import UnknownDeviceError, meant
from iottly_async.emulator import EmulatorThread
from iottly_async.models import Device
from tests.support.stored_rows import rows_of

from .conftest import Run

DEVICES = [
    Device(id="a1", name="pump"),
    Device(id="a2", name="Pump"),
    Device(id="a3", name="boiler"),
    Device(id="a4", name="boiler"),
    Device(id="a5", name="a3"),
    Device(id="a6", name="Valve"),
    Device(id="a7"),
]


@pytest.mark.parametrize(
    ("text", "device_id"),
    [
        ("a1", "a1"),
        ("A1", "a1"),
        ("pump", "a1"),
        ("Pump", "a2"),
        ("a3", "a3"),
        ("valve", "a6"),
        ("a7", "a7"),
    ],
)
def test_an_id_comes_before_a_name_and_a_name_before_its_other_case(
    text: str, device_id: str
) -> None:
    """So no name can hide a device, and most names need no capital letters."""
    assert meant(text, DEVICES, "project p") == device_id


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("boiler", "2 devices have the name 'boiler'; pass the id of one: a3, a4"),
        ("PUMP", "2 devices have the name 'PUMP'; pass the id of one: a1, a2"),
        ("valv", "project p has no device 'valv'; did you mean 'Valve' (a6)?"),
        ("VLAVE", "project p has no device 'VLAVE'; did you mean 'Valve' (a6)?"),
        ("kitchen", "project p has no device 'kitchen'; `iottly devices` lists them"),
    ],
)
def test_a_text_that_means_no_device_or_several_is_an_error(text: str, error: str) -> None:
    """It lists the candidates, or the nearest names with their ids."""
    with pytest.raises(UnknownDeviceError) as raised:
        meant(text, DEVICES, "project p")
    assert str(raised.value) == error


def test_a_name_of_a_thousand_devices_lists_some_of_them() -> None:
    """The error stays readable."""
    many = [Device(id=f"d{number}", name="twin") for number in range(1000)]
    with pytest.raises(UnknownDeviceError, match=r"1,000 devices .* d0, d1, d2, d3, d4, …$"):
        meant("twin", many, "project p")


def test_every_command_takes_a_name(iottly: Run, emulator: EmulatorThread, tmp_path: Path) -> None:
    """A name does what the id does."""
    device = emulator.device_ids[1]
    assert iottly("rename", device, "cold store").code == 0
    by_name, by_id = iottly("messages", "Cold Store"), iottly("messages", device)
    assert by_name.records == by_id.records != []
    sent = iottly("send", "cold store", "echo", "content=hi")
    assert (sent.code, emulator.commands[-1].device_id) == (0, device)
    assert device in sent.err
    path = tmp_path / "x.jsonl"
    assert iottly("ingest", "cold store", device, "--to", path).code == 0
    assert {row.device_id for row in rows_of(path)} == {device}
    assert iottly("rename", "cold store", "warm store").records[0]["id"] == device


@pytest.mark.parametrize(
    "arguments",
    [
        ["messages", "sensor-turin-2"],
        ["send", "sensor-turin-2", "echo"],
        ["rename", "sensor-turin-2", "x"],
        ["ingest", "sensor-turin-2", "--to", "none.jsonl"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_mistyped_name_exits_with_1_and_the_nearest_names(
    iottly: Run, emulator: EmulatorThread, arguments: list[str]
) -> None:
    """Nothing but the list of devices is requested."""
    device = emulator.device_ids[3]
    assert iottly("rename", device, "sensor-turin-02").code == 0
    before = len(emulator.requests)
    done = iottly(*arguments)
    assert (done.code, done.out) == (1, "")
    assert f"did you mean 'sensor-turin-02' ({device})" in done.err
    assert len(emulator.requests) == before + 1


def test_a_mistyped_id_of_a_command_names_the_nearest(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """The service answers 404; the project's list tells what may be meant."""
    right = emulator.device_ids[0]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    for arguments in (["send", wrong, "echo"], ["rename", wrong, "x"]):
        done = iottly(*arguments)
        assert (done.code, done.out) == (1, "")
        assert right in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["messages", "pump", "--start", "2026-02-01T00:00Z", "--end", "2026-01-01T00:00Z"], "end"),
        (["messages", "pump", "--limit", "101"], "101"),
        (["messages", " "], "device is missing"),
        (["rename", "pump", ""], "name is empty"),
        (["send", "pump", ""], "cmd_type"),
        (["ingest", "pump", "--to", "none.jsonl", "--concurrency", "0"], "concurrency"),
        (["ingest", "", "--to", "none.jsonl"], "device is missing"),
    ],
)
def test_a_wrong_argument_is_refused_before_a_name_is_looked_up(
    iottly: Run, emulator: EmulatorThread, arguments: list[str], text: str
) -> None:
    """Nothing is sent."""
    before = len(emulator.requests)
    done = iottly(*arguments)
    assert (done.code, len(emulator.requests)) == (2, before)
    assert text in done.err


def test_every_command_takes_an_id_of_the_fleet(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """stderr says which device of the project it is: the one that has the same name."""
    device, other = emulator.device_ids[2], emulator.fleet_ids[2]
    shown = iottly("messages", other)
    assert shown.records == iottly("messages", device).records != []
    assert f"{other} is " in shown.err
    assert f"({device})" in shown.err
    assert iottly("send", other, "echo", "content=hi").code == 0
    assert emulator.commands[-1].device_id == device
    path = tmp_path / "x.jsonl"
    assert iottly("ingest", other, "--to", path).code == 0
    assert {row.device_id for row in rows_of(path)} == {device}
    assert iottly("rename", other, "by its id of the fleet").records[0]["id"] == device


def test_an_id_of_the_fleet_whose_name_is_not_unique_is_refused(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """It is not known which device is meant, so nothing is sent to any."""
    for device in emulator.device_ids[3:5]:
        assert iottly("rename", device, "twins").code == 0
    before = len(emulator.commands)
    done = iottly("send", emulator.fleet_ids[3], "echo", "content=hi")
    assert (done.code, len(emulator.commands)) == (1, before)
    assert "has the name 'twins', and 2 devices of project" in done.err


def test_a_mistyped_id_of_the_fleet_names_the_nearest(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """The fleet's devices are compared."""
    right = emulator.fleet_ids[0]
    done = iottly("messages", right[:-1] + ("0" if right[-1] != "0" else "1"))
    assert (done.code, done.out) == (1, "")
    assert "the fleet has no device" in done.err
    assert right in done.err
