"""Commands about a project and its devices."""

from __future__ import annotations

from iottly_async.emulator import EmulatorThread

from .conftest import Run


def test_ping_names_the_host(iottly: Run, emulator: EmulatorThread) -> None:
    """The record has the host's URL."""
    (record,) = iottly("ping").records
    assert (record["status"], record["base_url"]) == ("pong", emulator.base_url)


def test_inspect_prints_the_project(iottly: Run, emulator: EmulatorThread) -> None:
    """The summary is one record."""
    (record,) = iottly("inspect").records
    assert record["id"] == emulator.project_id
    assert record["board"] == "Linux ARMv5"


def test_licenses_name_their_devices(iottly: Run, emulator: EmulatorThread) -> None:
    """A paired licence has the id of its device."""
    records = iottly("licenses").records
    paired = [record["device_id"] for record in records if record["status"] == "paired"]
    assert sorted(paired) == sorted(emulator.device_ids)


def test_devices_lists_all(iottly: Run, emulator: EmulatorThread) -> None:
    """Each device is a line."""
    assert [record["id"] for record in iottly("devices").records] == emulator.device_ids


def test_devices_of_the_fleet_api(iottly: Run, emulator: EmulatorThread) -> None:
    """`--fleet` uses the v1 API, which has other ids."""
    records = iottly("devices", "--fleet").records
    assert [record["id"] for record in records] == emulator.fleet_ids
    assert {record["status"] for record in records} <= {"online", "offline"}


def test_rename_prints_the_renamed_device(iottly: Run, emulator: EmulatorThread) -> None:
    """The record and the list have the new name."""
    device = emulator.device_ids[2]
    (record,) = iottly("rename", device, "è mia").records
    assert (record["id"], record["name"]) == (device, "è mia")
    assert iottly("devices").records[2]["name"] == "è mia"


def test_a_project_can_be_named_by_an_option(iottly: Run, emulator: EmulatorThread) -> None:
    """`--project` overrides the environment."""
    assert iottly("inspect", "--project", "another").code == 3
    assert iottly("inspect", "-p", emulator.project_id).code == 0


def test_tokens_of_licences_are_shown_on_request(iottly: Run, emulator: EmulatorThread) -> None:
    """A list of devices can be pasted anywhere; `--show-tokens` adds the tokens."""
    tokens = [record["token"] for record in iottly("devices", "--show-tokens").records]
    assert all(tokens)
    for form in ("table", "csv", "json", "jsonl"):
        shown = iottly("devices", "--wide", "--format", form).out
        assert not any(token in shown for token in tokens), form
    assert tokens[0] in iottly("devices", "--show-tokens", "--format", "table").out


def test_last_messages_are_shown_on_request(iottly: Run, emulator: EmulatorThread) -> None:
    """Each device has the time of its newest message, or none."""
    newest = {
        device: max(
            f"{stored['timestamp']:%Y-%m-%dT%H:%M:%S}" for stored in emulator.stored(device)
        )
        for device in emulator.device_ids
        if emulator.stored(device)
    }
    records = iottly("devices", "--last-message").records
    shown = {each["id"]: each["last_message"][:19] for each in records if each["last_message"]}
    assert shown == newest
    refused = iottly("devices", "--fleet", "--last-message")
    assert (refused.code, refused.out) == (2, "")
