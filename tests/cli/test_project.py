"""Commands about a project, its devices, and what they are sent."""

from __future__ import annotations

from iottly_async.emulator import EmulatorThread

from .conftest import Run


def test_ping_says_where_it_asked(iottly: Run, emulator: EmulatorThread) -> None:
    """A sign of life names the host and how long it took."""
    (record,) = iottly("ping").records
    assert (record["status"], record["base_url"]) == ("pong", emulator.base_url)


def test_inspect_prints_the_project(iottly: Run, emulator: EmulatorThread) -> None:
    """The summary is one record."""
    (record,) = iottly("inspect").records
    assert record["id"] == emulator.project_id
    assert record["board"] == "Linux ARMv5"


def test_licenses_name_the_devices_that_hold_them(iottly: Run, emulator: EmulatorThread) -> None:
    """A paired licence tells whose it is."""
    records = iottly("licenses").records
    paired = [record["device_id"] for record in records if record["status"] == "paired"]
    assert sorted(paired) == sorted(emulator.device_ids)


def test_devices_lists_all(iottly: Run, emulator: EmulatorThread) -> None:
    """A device is a line."""
    assert [record["id"] for record in iottly("devices").records] == emulator.device_ids


def test_devices_of_the_fleet_api(iottly: Run, emulator: EmulatorThread) -> None:
    """`--fleet` asks the other generation, whose ids are others."""
    records = iottly("devices", "--fleet").records
    assert [record["id"] for record in records] == emulator.fleet_ids
    assert {record["status"] for record in records} <= {"online", "offline"}


def test_rename_prints_the_device_as_it_is_now(iottly: Run, emulator: EmulatorThread) -> None:
    """The answer has the new name, and so has the list."""
    device = emulator.device_ids[2]
    (record,) = iottly("rename", device, "è mia").records
    assert (record["id"], record["name"]) == (device, "è mia")
    assert iottly("devices").records[2]["name"] == "è mia"


def test_send_reads_values_as_json_where_they_are(iottly: Run, emulator: EmulatorThread) -> None:
    """A number stays a number and any other text a text; the device gets it once."""
    before = len(emulator.commands)
    done = iottly(
        "send", emulator.device_ids[0], "echo", "content=hi there", "level=3", 'text="3"', "e="
    )
    (command,) = emulator.commands[before:]
    assert command.body["values"] == {
        "echo.content": "hi there",
        "echo.level": 3,
        "echo.text": "3",
        "echo.e": "",
    }
    assert (done.code, done.out) == (0, "")
    assert "echo was taken" in done.err


def test_a_project_can_be_named_by_an_option(iottly: Run, emulator: EmulatorThread) -> None:
    """`--project` wins over the environment."""
    assert iottly("inspect", "--project", "another").code == 3
    assert iottly("inspect", "-p", emulator.project_id).code == 0
