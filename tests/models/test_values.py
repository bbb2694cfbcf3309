"""The other models are frozen, slotted, hashable and picklable; enumerations are open."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

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

CURSOR = Cursor(
    project_id="p",
    device_id="d",
    type="all",
    order="asc",
    start=None,
    end=None,
    remaining=((0, 5),),
    pinned_end=5,
)
MESSAGE = Message(device_id="d", timestamp=datetime(2026, 1, 1, tzinfo=UTC))
VALUES: list[Any] = [
    ProjectInfo(id="p", extra={"a": [1]}),
    Board(id="b", extra={"a": [1]}),
    License(token="t", status=LicenseStatus.PAIRED, board=Board(id="b")),
    Device(id="d", operating_status=OperatingStatus("asleep")),
    FleetDevice(id="d", status=FleetStatus.OFFLINE),
    FleetDevicePage(devices=(FleetDevice(id="d"),), total=1, number=1, per_page=20),
    Command(id="c", status=CommandStatus.PENDING),
    CommandResult(id="c", status=CommandStatus("lost"), exit_code=1),
    MessagePage(messages=(MESSAGE,)),
    CURSOR,
    Quota(
        limit=600,
        remaining=597,
        resets_at=None,
        waiting=0,
        in_flight=0,
        refusals=0,
        source="server",
    ),
]
each = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@each
def test_it_is_frozen_and_slotted(value: Any) -> None:
    """No field can be set, and a model has no dictionary."""
    for field in attrs.fields(type(value)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, field.name, None)
    assert not hasattr(value, "__dict__")


@each
def test_it_is_keyword_only(value: Any) -> None:
    """Every field is keyword-only, so that fields can be added."""
    assert all(field.kw_only for field in attrs.fields(type(value)))


@each
def test_it_can_be_hashed_and_pickled(value: Any) -> None:
    """A pickled model comes back equal, and with an equal hash."""
    again = pickle.loads(pickle.dumps(value))
    assert again == value
    assert hash(again) == hash(value)


def test_a_batch_is_a_value_too() -> None:
    """A batch is frozen and can be pickled; its list may be changed."""
    batch = MessageBatch(messages=[MESSAGE], cursor=CURSOR)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        batch.cursor = CURSOR  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(batch)) == batch


ENUMERATIONS = [CommandStatus, FleetStatus, LicenseStatus, MessageType, OperatingStatus]


@pytest.mark.parametrize("kind", ENUMERATIONS)
def test_an_enumeration_keeps_what_it_does_not_know(kind: Any) -> None:
    """An unknown value equals its text, says that it is unknown, and survives a pickle."""
    found = kind("never heard of")
    assert found == "never heard of"
    assert found.value == str(found) == f"{found}" == "never heard of"
    assert not found.known
    assert isinstance(found, kind)
    assert pickle.loads(pickle.dumps(found)) == found
    assert json.dumps({"status": found}) == '{"status": "never heard of"}'
    assert len({found, kind("never heard of")}) == 1
    assert found not in list(kind)


@pytest.mark.parametrize("kind", ENUMERATIONS)
def test_known_values_are_members(kind: Any) -> None:
    """A documented value is the member itself, also after a pickle."""
    for member in kind:
        assert kind(member.value) is member
        assert pickle.loads(pickle.dumps(member)) is member
        assert member.known


@pytest.mark.parametrize("value", [None, 1, b"paired", ["paired"]], ids=repr)
def test_an_enumeration_is_of_texts(value: Any) -> None:
    """A value that is not a text is refused."""
    with pytest.raises(ValueError, match="not a valid"):
        LicenseStatus(value)


@pytest.mark.parametrize(
    ("status", "finished"),
    [("pending", False), ("running", False), ("completed", True), ("failed", True), ("odd", True)],
)
def test_when_a_command_is_finished(status: str, finished: bool) -> None:
    """A command is finished unless it is pending or running, also with an unknown status."""
    assert CommandStatus(status).finished is finished
