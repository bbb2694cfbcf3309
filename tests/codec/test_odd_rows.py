"""A page as the field sends it: odd fields in rows that are messages, and rows that are none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import DecodeError, Message
from iottly_async.codec import decode_history, decode_message, decode_page, decode_webhook
from iottly_async.models.row import MessageRow
from tests.codec.samples import DEVICE, PROJECT, answer, paged, stored
from tests.support.calls import failure_of, session_on
from tests.support.raw_server import RawServer, answering

TIME = "2026-04-01T10:00:%02d.000"


def row(second: int, **changes: Any) -> dict[str, Any]:
    """A row of the paginated endpoint; a field that is `...` is left out."""
    fields = {
        "from": DEVICE,
        "to": PROJECT,
        "timestamp": TIME % second,
        "devicetimestamp": TIME % second,
        "type": "userdefined",
        "payload": {"v": second},
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


MESSAGES: list[dict[str, Any]] = [
    row(0),
    row(1, devicetimestamp="n/a"),
    row(2, devicetimestamp="2026-04-01T10:00:61.000"),
    row(3, devicetimestamp="1970-00-01T00:00:00"),
    row(4, devicetimestamp=None),
    row(5, devicetimestamp="12026-04-01T10:00:05"),
    row(6, channel=7),
    row(7, type=3),
    row(8, payload="not an object"),
    row(9, payload=...),
    row(10, type="telemetry2"),
    row(11, hops=2),
]
NO_MESSAGES: list[Any] = ["a text where a message belongs", row(13, timestamp=...)]
EXPECTED: list[tuple[str, Any, str | None, str | None, dict[str, Any]]] = [
    # device time, payload, type, channel, extra
    (TIME % 0, {"v": 0}, "userdefined", None, {}),
    ("None", {"v": 1}, "userdefined", None, {"devicetimestamp": "n/a"}),
    ("None", {"v": 2}, "userdefined", None, {"devicetimestamp": "2026-04-01T10:00:61.000"}),
    ("None", {"v": 3}, "userdefined", None, {"devicetimestamp": "1970-00-01T00:00:00"}),
    ("None", {"v": 4}, "userdefined", None, {}),
    ("None", {"v": 5}, "userdefined", None, {"devicetimestamp": "12026-04-01T10:00:05"}),
    (TIME % 6, {"v": 6}, "userdefined", "7", {}),
    (TIME % 7, {"v": 7}, "3", None, {}),
    (TIME % 8, "not an object", "userdefined", None, {}),
    (TIME % 9, None, "userdefined", None, {}),
    (TIME % 10, {"v": 10}, "telemetry2", None, {}),
    (TIME % 11, {"v": 11}, "userdefined", None, {"hops": 2}),
]


def assert_read(messages: list[Message]) -> None:
    """Check the messages of the page."""
    for second, (message, (at, payload, type_, channel, extra)) in enumerate(
        zip(messages, EXPECTED, strict=True)
    ):
        assert message.timestamp == datetime(2026, 4, 1, 10, 0, second, tzinfo=UTC)
        device_time = message.device_timestamp
        assert str(device_time and device_time.isoformat(timespec="milliseconds")[:-6]) == at
        found = (message.payload, message.type, message.channel, message.extra)
        assert found == (payload, type_, channel, extra)


def test_the_messages_are_told_from_the_other_rows() -> None:
    """Twelve odd rows are messages, and two are none: a text, and a row without a time."""
    rows = decode_page(answer(*MESSAGES, *NO_MESSAGES), project_id=PROJECT, device_id=DEVICE)
    assert_read(rows.messages)
    assert [(bad.index, bad.path) for bad in rows.bad_rows] == [
        (12, "$.messages[12]"),
        (13, "$.messages[13].timestamp"),
    ]
    assert [json.loads(bad.raw) for bad in rows.bad_rows] == NO_MESSAGES


async def test_a_page_of_odd_rows_is_read_over_a_socket() -> None:
    """`page` returns the messages, and raises for a row that is none, with its path."""
    async with (
        RawServer(answering(200, answer(*MESSAGES))) as server,
        session_on(server) as session,
    ):
        assert_read(list((await session.project(PROJECT).messages.page(DEVICE)).messages))
    body = answer(*MESSAGES, *NO_MESSAGES)
    async with RawServer(answering(200, body)) as server, session_on(server) as session:
        error = await failure_of(session.project(PROJECT).messages.page(DEVICE))
    assert type(error) is DecodeError
    assert error.path == "$.messages[12]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc$"), inner, max_size=3),
    max_leaves=5,
)
OPTIONAL = ("to", "type", "channel", "_id", "devicetimestamp", "payload", "hops")
OURS = [*MessageRow.__struct_fields__, "key", "digest", "extra"]


@given(st.dictionaries(st.sampled_from(OPTIONAL), JSON))
def test_no_optional_field_loses_a_message(odd: dict[str, Any]) -> None:
    """Whatever the optional fields are, the row is a message.

    So it is on a page, in the history, by a webhook and alone, and other rows do not matter.
    """
    ids = {"project_id": PROJECT, "device_id": DEVICE}
    found = []
    for form, decode in ((paged, decode_page), (stored, decode_history)):
        kept = form(**odd)
        if form is stored and "_id" not in odd:
            del kept["_id"]
        for rows in ([kept], [form(), kept, form()]):
            decoded = decode(answer(*rows), **ids)
            assert len(decoded.messages) == len(rows)
            assert not decoded.bad_rows
            found.append(decoded.messages[len(rows) // 2])
    text = json.dumps(paged(**odd))
    found += [decode_message(text.encode()), decode_webhook(f'{{"msg": {text}}}'.encode())]
    assert {message.timestamp for message in found} == {found[0].timestamp}
    assert {message.payload_json for message in found} == {found[0].payload_json}
    assert found[0].key == found[1].key
    assert found[2].key == found[3].key
    for message in found:
        assert message.to_json()


@pytest.mark.parametrize("name", sorted({*OURS} - {"type", "payload", "channel"}))
def test_a_field_with_a_name_of_ours_is_kept_as_an_extra_one(name: str) -> None:
    """A field that is named like one of the library's own changes nothing but `extra`."""
    ids = {"project_id": PROJECT, "device_id": DEVICE}
    for form, decode in ((paged, decode_page), (stored, decode_history)):
        (plain,) = decode(answer(form()), **ids).messages
        for value in (None, "", "a", 0, 7, [], ["a"], {}, {"a": 1}):
            (message,) = decode(answer(form(**{name: value})), **ids).messages
            assert message == evolve(plain, extra={name: value})
            assert message.key == plain.key


@pytest.mark.parametrize("name", ["from", "timestamp"])
def test_a_bad_row_is_a_row_of_its_page(name: str) -> None:
    """A row whose time or device cannot be read is reported, whatever else it holds."""
    rows = [paged(), paged(**{name: {"a": [1]}}, devicetimestamp="n/a"), paged()]
    found, (bad,) = decode_page(answer(*rows), project_id=PROJECT, device_id=DEVICE)
    assert len(found) == 2
    assert (bad.index, bad.path) == (1, f"$.messages[1].{name}")
    assert json.loads(bad.raw) == rows[1]
    assert str(bad.error()) == bad.reason
