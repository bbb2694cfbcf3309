"""The project API, call by call, against the emulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iottly_async import (
    BadRequestError,
    ConfigurationError,
    ForbiddenError,
    IottlySession,
    LicenseStatus,
    NotFoundError,
    OperatingStatus,
)
from iottly_async.emulator import Emulator
from iottly_async.resources import Project


@pytest.fixture
def project(session: IottlySession, emulator: Emulator) -> Project:
    """The emulator's project."""
    return session.project(emulator.project_id)


async def test_ping_answers(session: IottlySession) -> None:
    """A ping with an accepted key returns."""
    await session.ping()


async def test_inspect_tells_of_the_project(project: Project) -> None:
    """The summary has every documented field, under its plain name."""
    info = await project.inspect()
    assert info.id == project.id
    assert None not in (info.name, info.agent_url, info.agent_file, info.agent_api_host, info.board)
    assert info.extra == {}


async def test_licenses_are_listed_and_each_is_got(project: Project) -> None:
    """Paired licences have a board, available ones have none; `get` finds one by its token."""
    licenses = await project.licenses.list()
    assert {one.status for one in licenses} == set(LicenseStatus)
    for one in licenses:
        assert (one.board is not None) == (one.status == LicenseStatus.PAIRED)
    assert await project.licenses.get(licenses[0].token) == licenses[0]


async def test_devices_are_listed_and_each_is_got(project: Project, emulator: Emulator) -> None:
    """The list has every device, and `get` returns the same one."""
    devices = await project.devices.list()
    assert [device.id for device in devices] == emulator.device_ids
    assert await project.devices.get(devices[1].id) == devices[1]
    assert devices[1].operating_status in set(OperatingStatus)


async def test_a_renamed_device_has_its_new_name(project: Project, emulator: Emulator) -> None:
    """`rename` returns the renamed device, and a later `get` does too."""
    device_id = emulator.device_ids[0]
    renamed = await project.devices.rename(device_id, "my-sensor-01")
    assert renamed.name == "my-sensor-01"
    assert await project.devices.get(device_id) == renamed


async def test_a_commands_keys_get_their_prefix(project: Project, emulator: Emulator) -> None:
    """Keys without the prefix get it, and the command arrives once."""
    await project.commands.send(
        emulator.device_ids[0], "echo", {"content": "a", "echo.x": [1, None]}
    )
    (executed,) = emulator.commands
    assert executed.body == {
        "cmd_type": "echo",
        "values": {"echo.content": "a", "echo.x": [1, None]},
    }


async def test_an_undeclared_command_is_a_bad_request(project: Project, emulator: Emulator) -> None:
    """The error's text has the service's explanation."""
    with pytest.raises(BadRequestError, match="no_such_type"):
        await project.commands.send(emulator.device_ids[0], "no_such_type")


@pytest.mark.parametrize(
    ("cmd_type", "values", "words"),
    [
        ("", {}, "cmd_type must be a text that is not empty"),
        ("echo", {"a": float("nan")}, r"values\['a'\] is nan"),
        ("echo", {"a": {1: 2}}, r"values\['a'\] has the key 1"),
        ("echo", {"a": b"bytes"}, r"values\['a'\] is a bytes"),
        ("echo", {"a": datetime.now(UTC)}, r"values\['a'\] is a datetime"),
        ("echo", {"": 1}, "a key of values must be a text that is not empty"),
        ("echo", {"a": 1, "echo.a": 2}, "twice, with and without its prefix"),
        ("echo", {"a": "\ud800"}, "half a surrogate pair"),
        ("echo", ["a"], "values must be a mapping"),
    ],
)
async def test_a_command_that_cannot_be_is_refused_unsent(
    project: Project, emulator: Emulator, cmd_type: str, values: dict[str, object], words: str
) -> None:
    """The error names the argument and what is accepted; nothing was sent."""
    with pytest.raises(ConfigurationError, match=words):
        await project.commands.send(emulator.device_ids[0], cmd_type, values)
    assert emulator.requests == []


def circular() -> dict[str, object]:
    """A mapping that contains itself."""
    values: dict[str, object] = {}
    values["a"] = values
    return values


async def test_values_that_hold_themselves_are_refused(project: Project) -> None:
    """Endless nesting is an error, not a RecursionError."""
    with pytest.raises(ConfigurationError, match="nested more than 100 deep"):
        await project.commands.send("device", "echo", circular())


async def test_the_latest_messages_come_newest_first(project: Project, emulator: Emulator) -> None:
    """Recent messages have the service's id, and match the filter."""
    device_id = emulator.device_ids[0]
    messages = await project.messages.recent(device_id, limit=20, query={"type": "userdefined"})
    truth = emulator.stored(device_id, type="userdefined")[-20:][::-1]
    assert [m.timestamp for m in messages] == [row["timestamp"] for row in truth]
    assert {m.id for m in messages} == {row["oid"] for row in truth}
    assert {m.type for m in messages} == {"userdefined"}


async def test_a_filter_may_hold_aware_times(project: Project, emulator: Emulator) -> None:
    """A datetime in the filter is sent as MongoDB's date; a naive one is refused."""
    device_id = emulator.device_ids[0]
    truth = [row["timestamp"] for row in emulator.stored(device_id)]
    since = truth[-3]
    found = await project.messages.recent(device_id, query={"timestamp": {"$gte": since}})
    assert len(found) == len([time for time in truth if time >= since])
    with pytest.raises(ConfigurationError, match=r"query\['timestamp'\].*naive"):
        await project.messages.recent(device_id, query={"timestamp": since.replace(tzinfo=None)})


async def test_a_page_is_the_endpoints_own(project: Project, emulator: Emulator) -> None:
    """Pages are fetched by number, in the order and range asked for."""
    device_id = emulator.device_ids[0]
    truth = [row["timestamp"] for row in emulator.stored(device_id)]
    first = await project.messages.page(device_id, size=7, order="asc")
    second = await project.messages.page(device_id, size=7, order="asc", number=2)
    assert [m.timestamp for m in (*first.messages, *second.messages)] == truth[:14]
    newest = await project.messages.page(device_id)
    assert [m.timestamp for m in newest.messages] == truth[::-1][:50]
    within = await project.messages.page(device_id, start=truth[3], end=truth[9], order="asc")
    assert [m.timestamp for m in within.messages] == [t for t in truth if truth[3] <= t < truth[9]]


async def test_no_message_is_an_empty_page(project: Project, emulator: Emulator) -> None:
    """A 404 of the endpoint is an empty page (D4)."""
    page = await project.messages.page(emulator.device_ids[0], end=datetime(2001, 1, 1, tzinfo=UTC))
    assert page.messages == ()


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 0}, "size must be 1 to 100, not 0"),
        ({"size": 101}, "size must be 1 to 100, not 101"),
        ({"number": 0}, "number must be 1 or more, not 0"),
        ({"start": datetime(2026, 1, 1)}, "start must be an aware datetime"),  # noqa: DTZ001
        ({"end": "2026-01-01"}, "end must be an aware datetime, not '2026-01-01'"),
        ({"start": NOW, "end": NOW}, "start must be before end"),
        ({"start": NOW, "end": NOW - timedelta(days=1)}, "start must be before end"),
        ({"type": "all "}, "type must be one of all, userdefined, iottlyagent"),
        ({"order": "newest"}, "order must be one of asc, desc"),
    ],
)
async def test_a_page_that_cannot_be_is_refused_unsent(
    project: Project, emulator: Emulator, arguments: dict[str, object], words: str
) -> None:
    """The error names the argument, its value and what is accepted."""
    with pytest.raises(ConfigurationError, match=words):
        await project.messages.page(emulator.device_ids[0], **arguments)  # type: ignore[arg-type]
    assert emulator.requests == []


@pytest.mark.parametrize("device_id", ["", "..", "a/b", "a?b", "a#b", "a%b", "a\nb"])
async def test_an_id_with_a_slash_is_refused_unsent(
    project: Project, emulator: Emulator, device_id: str
) -> None:
    """Every call that takes an id refuses one that would change the path."""
    for call in (
        project.devices.get(device_id),
        project.devices.rename(device_id, "x"),
        project.commands.send(device_id, "echo"),
        project.messages.recent(device_id),
        project.messages.page(device_id),
        project.licenses.get(device_id),
    ):
        with pytest.raises(ConfigurationError):
            await call
    with pytest.raises(ConfigurationError, match="device_id"):
        project.messages.batches(device_id)
    assert emulator.requests == []


async def test_what_is_not_there_is_not_found(project: Project) -> None:
    """An unknown device or licence is a NotFoundError."""
    with pytest.raises(NotFoundError):
        await project.devices.get("no-such-device")
    with pytest.raises(NotFoundError):
        await project.licenses.get("no-such-licence")


async def test_another_project_is_forbidden(session: IottlySession) -> None:
    """Another project's key is a ForbiddenError."""
    with pytest.raises(ForbiddenError):
        await session.project("0" * 24).inspect()
