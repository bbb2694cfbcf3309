"""Messages are read from answers: fields, forms of a time, unknown fields, paths of errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from iottly_async import DecodeError, Message, MessageType
from iottly_async.codec import decode_history, decode_message, decode_page

from .samples import (
    DEVICE,
    PROJECT,
    answer,
    paged,
    raw_answer,
    raw_row,
    read_history,
    read_page,
    stored,
)

AT = datetime(2018, 7, 27, 17, 50, 4, 968_000, UTC)
DEVICE_AT = datetime(2018, 7, 27, 17, 49, 51, tzinfo=UTC)
OID = "59c1b7d71e4b5f00070c8e3a"

WAYS: list[tuple[Callable[..., dict[str, Any]], Callable[[bytes], list[Message]]]] = [
    (paged, read_page),
    (stored, read_history),
]
BOTH = pytest.mark.parametrize(("row", "read"), WAYS, ids=["paginated", "history"])
FALLING = {"strange": 1}
"""An undocumented field, which makes a page take the slower path."""


@BOTH
@pytest.mark.parametrize("beside", [{}, FALLING], ids=["fast", "slower"])
def test_every_field_is_read(
    row: Callable[..., dict[str, Any]],
    read: Callable[[bytes], list[Message]],
    beside: dict[str, Any],
) -> None:
    """Each field of a row is read into the message, on the fast path and on the slower one."""
    (message,) = read(answer(row(**beside)))
    assert message == Message(
        device_id=DEVICE,
        project_id=PROJECT,
        timestamp=AT,
        device_timestamp=DEVICE_AT,
        type=MessageType.USERDEFINED,
        payload_json=b'{"temperature": 37.4}',
        id=OID if row is stored else None,
        channel="alarms",
        extra=beside,
    )


@BOTH
@pytest.mark.parametrize("name", ["from", "to", "devicetimestamp", "type", "channel", "payload"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_a_field_may_be_missing_or_null(
    row: Callable[..., dict[str, Any]],
    read: Callable[[bytes], list[Message]],
    name: str,
    how: str,
) -> None:
    """A field may be missing: ids are then the requested ones, others None (D8)."""
    given = row()
    given.pop(name)
    if how == "null":
        given[name] = None
    (message,) = read(answer(given))
    absent = {
        "from": message.device_id == DEVICE,
        "to": message.project_id == PROJECT,
        "devicetimestamp": message.device_timestamp is None,
        "type": message.type is None,
        "channel": message.channel is None,
        "payload": message.payload is None,
    }
    assert absent[name]
    assert message.timestamp == AT
    assert message.extra == {}


@BOTH
@pytest.mark.parametrize("how", ["missing", "null"])
def test_a_message_needs_its_time(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]], how: str
) -> None:
    """A message without a timestamp is an error, and the path names the message."""
    given = row()
    given.pop("timestamp")
    if how == "null":
        given["timestamp"] = None
    with pytest.raises(DecodeError, match="expected a time") as caught:
        read(answer(row(), given))
    assert caught.value.path == "$.messages[1].timestamp"


NO_TEXT: list[Any] = [0, 1, True, False, 1.5, [], ["userdefined"], {}]
NO_ID: list[Any] = [7, True, [], {}, {"$oid": 1}, {"oid": "x"}]
NO_TIME: list[Any] = [
    *(True, 1.5, [], {}, {"date": 1}, {"$date": None}, {"$date": "Invalid date"}, 10**17),
    *("", "  ", "yesterday", "Invalid date", "0000-00-00 00:00:00", "1532713804968"),
    *("2018-13-01T00:00:00", "2018-00-01T00:00:00", "2018-02-30T00:00:00"),
    *("2018-07-27T17:50:60", "2018-07-27T17:50:61.968", "2018-07-27T17:60:04"),
    *("10000-01-01T00:00:00", "+12018-07-27T17:50:04.968Z", "0001-01-01T00:00:00+14:00"),
]
NEEDED: list[tuple[str, Any, str]] = [
    *(("from", value, "$.from") for value in NO_TEXT),
    *(
        ("timestamp", value, "$.timestamp.$date" if "$date" in str(value) else "$.timestamp")
        for value in NO_TIME
    ),
    ("timestamp", {"$date": [1]}, "$.timestamp.$date"),
    ("timestamp", {"$date": {"$numberLong": "1e3"}}, "$.timestamp.$date.$numberLong"),
    ("timestamp", {"$date": {"$numberLong": 5}}, "$.timestamp.$date"),
    ("timestamp", {"$date": 10**17}, "$.timestamp.$date"),
]
NO_WORD: list[Any] = [True, False, [], ["userdefined"], {}]
OPTIONAL: list[tuple[str, Any]] = [
    *(("to", value) for value in NO_TEXT),
    *((name, value) for name in ("type", "channel") for value in NO_WORD),
    *(("_id", value) for value in NO_ID),
    *(("devicetimestamp", value) for value in NO_TIME),
]


@BOTH
@pytest.mark.parametrize(("name", "value", "path"), NEEDED, ids=repr)
def test_a_row_without_a_readable_time_or_device_is_an_error_at_its_path(
    row: Callable[..., dict[str, Any]],
    read: Callable[[bytes], list[Message]],
    name: str,
    value: Any,
    path: str,
) -> None:
    """A time or a device of a wrong form is an error at its path; nothing is guessed (D8)."""
    with pytest.raises(DecodeError) as caught:
        read(answer(row(), row(), row(**{name: value})))
    assert caught.value.path == f"$.messages[2]{path[1:]}"


@BOTH
@pytest.mark.parametrize("beside", [{}, FALLING], ids=["known", "extra"])
@pytest.mark.parametrize(("name", "value"), OPTIONAL, ids=repr)
def test_an_optional_field_that_cannot_be_read_is_kept_in_extra(
    row: Callable[..., dict[str, Any]],
    read: Callable[[bytes], list[Message]],
    name: str,
    value: Any,
    beside: dict[str, Any],
) -> None:
    """The field is as if it were missing, `extra` has its value, and nothing else changes (D8)."""
    given = row(**beside)
    given.pop(name, None)
    (expected,) = read(answer(given))
    _, found, _ = read(answer(row(), row(**{name: value}, **beside), row()))
    assert found == attrs.evolve(expected, extra={name: value, **beside})
    assert getattr(found, FIELDS[name]) == (PROJECT if name == "to" else None)


FIELDS = {
    "to": "project_id",
    "type": "type",
    "channel": "channel",
    "_id": "id",
    "devicetimestamp": "device_timestamp",
}


@BOTH
@pytest.mark.parametrize("beside", [{}, FALLING], ids=["known", "extra"])
@pytest.mark.parametrize(
    "number", ["0", "7", "-7", "1.50", "1E+2", "12345678901234567890", "1e999"]
)
def test_a_number_as_type_or_channel_is_kept_as_its_text(
    row: Callable[..., dict[str, Any]],
    read: Callable[[bytes], list[Message]],
    number: str,
    beside: dict[str, Any],
) -> None:
    """A number is kept as it was written, and the type is one that the documents do not name."""
    text = json.dumps(row(type="TYPE", channel="CHANNEL", **beside))
    text = text.replace('"TYPE"', number).replace('"CHANNEL"', number)
    (message,) = read(raw_answer(text))
    assert (message.type, message.channel) == (number, number)
    assert isinstance(message.type, MessageType)
    assert message.extra == beside


@BOTH
@pytest.mark.parametrize("payload", ["not an object", "", 7, 1.5, True, None, [], [{"a": 1}]])
def test_a_payload_that_is_no_object_is_kept(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]], payload: Any
) -> None:
    """A payload of any JSON type is yielded as it is, also beside odd fields."""
    messages = read(answer(row(payload=payload), row(payload=payload, devicetimestamp="n/a")))
    assert [message.payload for message in messages] == [payload, payload]


def test_an_error_never_holds_the_value() -> None:
    """The text of an error says what was expected, never the value."""
    values: list[Any] = ["abcdefgh", ["abcdefgh"], {"$date": "abcdefgh"}]
    for value in values:
        with pytest.raises(DecodeError) as caught:
            read_page(answer(paged(timestamp=value)))
        assert "abcdefgh" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


SAME_TIME = [
    "2018-07-27T17:50:04.968",
    "2018-07-27T17:50:04.968000",
    "2018-07-27T17:50:04.968Z",
    "2018-07-27 17:50:04.968",
    "2018-07-27T17:50:04.968+00:00",
    "2018-07-27T19:50:04.968+02:00",
    1532713804968,
    1532713804968.0,
    {"$date": "2018-07-27T17:50:04.968Z"},
    {"$date": "2018-07-27T17:50:04.968"},
    {"$date": "2018-07-27T12:20:04.968-05:30"},
    {"$date": 1532713804968},
    {"$date": {"$numberLong": "1532713804968"}},
    {"$numberLong": "1532713804968"},
]


@BOTH
@pytest.mark.parametrize("form", SAME_TIME, ids=str)
@pytest.mark.parametrize("beside", [{}, FALLING], ids=["known", "extra"])
def test_every_form_of_a_time_is_the_same_time(
    row: Callable[..., dict[str, Any]],
    read: Callable[[bytes], list[Message]],
    form: Any,
    beside: dict[str, Any],
) -> None:
    """Text, epoch milliseconds and all forms of $date are read as an aware time (D5, D7)."""
    (message,) = read(answer(row(timestamp=form, devicetimestamp=form, **beside)))
    assert message.timestamp == message.device_timestamp == AT
    assert message.timestamp.tzinfo is UTC
    assert message.device_timestamp is not None
    assert message.device_timestamp.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2018-07-27T17:49:51", DEVICE_AT),
        ("2018-07-27T17:49", DEVICE_AT.replace(second=0)),
        ("1969-12-31T23:59:59.999", datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999", datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)),
    ],
)
def test_times_at_the_edges(text: Any, time: datetime) -> None:
    """Times before 1970, at the ends of the calendar and without seconds are read."""
    (message,) = read_page(answer(paged(timestamp=text)))
    assert message.timestamp == time


@pytest.mark.parametrize("form", ["0001-01-01T00:00:00+14:00", 10**15, -(10**15)])
def test_a_time_outside_the_calendar_is_an_error(form: Any) -> None:
    """A time that no datetime can hold raises DecodeError at its path."""
    with pytest.raises(DecodeError) as caught:
        read_page(answer(paged(timestamp=form)))
    assert caught.value.path == "$.messages[0].timestamp"


def test_what_is_finer_than_a_microsecond_is_rounded_alike() -> None:
    """A time with nanoseconds is the same on both paths."""
    text = "2018-07-27T17:50:04.9689996"
    (fast,) = read_page(answer(paged(timestamp=text)))
    (slower,) = read_page(answer(paged(timestamp=text, **FALLING)))
    (cut,) = read_page(raw_answer(raw_row("NaN", timestamp=text)))
    assert fast.timestamp == slower.timestamp == cut.timestamp


@BOTH
def test_an_unknown_type_is_kept(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]]
) -> None:
    """An undocumented type is kept as its text."""
    for beside in ({}, FALLING):
        (message,) = read(answer(row(type="firmware", **beside)))
        assert message.type == "firmware"
        assert message.type is not None
        assert not message.type.known


@BOTH
def test_unknown_fields_are_kept(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]]
) -> None:
    """An undocumented field is kept in the message's `extra` by its name (D8)."""
    rows = [row(hops=3), row(), row(gateway={"id": [1, None]}, hops=None)]
    found = [message.extra for message in read(answer(*rows, total=3))]
    assert found == [{"hops": 3}, {}, {"gateway": {"id": [1, None]}, "hops": None}]


def test_an_unknown_field_that_is_not_json_is_kept_as_bytes() -> None:
    """An undocumented field never fails a page, whatever its value (D8)."""
    row = b'{"timestamp": 0, "a": "\\ud800", "b": 1e999, "c": 2, "d": "\xff"}'
    (message,) = read_page(raw_answer(row))
    assert message.extra == {"a": b'"\\ud800"', "b": b"1e999", "c": 2, "d": b'"\xff"'}


def test_many_unknown_names_on_one_page() -> None:
    """Each message keeps its own undocumented fields."""
    rows = [paged(**{f"field{index}": index}) for index in range(100)]
    found = [message.extra for message in read_page(answer(*rows))]
    assert found == [{f"field{index}": index} for index in range(100)]


@BOTH
def test_an_empty_page(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]]
) -> None:
    """An answer without messages is an empty list, with and without fields around it."""
    assert read(answer()) == []
    assert read(answer(status=200, note="none")) == []


BODIES: list[tuple[bytes, str]] = [
    (b"", "$"),
    (b"  \r\n", "$"),
    (b"<html>", "$"),
    (b"null", "$"),
    (b"[]", "$"),
    (b'"messages"', "$"),
    (b"{}", "$.messages"),
    (b'{"messages": null}', "$.messages"),
    (b'{"messages": {}}', "$.messages"),
    (b'{"messages": "abc"}', "$.messages"),
    (b'{"messages": []', "$"),
    (b'{"messages": []} x', "$"),
    (b'{"messages": [null]}', "$.messages[0]"),
    (b'{"messages": [[]]}', "$.messages[0]"),
    (b'{"messages": [7]}', "$.messages[0]"),
    (b'{"messages": ["abc"]}', "$.messages[0]"),
    (b'{"messages": [{}, ]}', "$.messages"),
    ('{"messages": []}'.encode("utf-16"), "$"),
]


@pytest.mark.parametrize(("body", "path"), BODIES, ids=repr)
def test_what_is_no_answer_is_an_error(body: bytes, path: str) -> None:
    """A wrong structure around the messages is an error at its path."""
    for read in (read_page, read_history):
        with pytest.raises(DecodeError) as caught:
            read(body)
        assert caught.value.path == path


def test_a_byte_order_mark_is_passed_over() -> None:
    """A byte order mark before the JSON is ignored."""
    body = b"\xef\xbb\xbf" + answer(paged())
    assert read_page(body) == read_page(answer(paged()))
    assert decode_message(b"\xef\xbb\xbf" + raw_row("{}")).payload == {}


def test_the_last_of_duplicate_keys_wins() -> None:
    """Of duplicate fields the last wins, on both paths."""
    row = raw_row("1")[:-1] + b', "payload": 2, "from": "a", "from": "b"'
    for beside in (b"}", b', "x": 1, "x": 2}', b', "x": NaN}'):
        (message,) = read_page(raw_answer(row + beside))
        assert (message.payload, message.device_id) == (2, "b")


def test_a_message_alone_must_name_its_device() -> None:
    """A single message must name its device, but not its project."""
    message = decode_message(b'{"from": "d", "timestamp": 0}')
    assert (message.device_id, message.project_id) == ("d", None)
    with pytest.raises(DecodeError, match="device's id") as caught:
        decode_message(b'{"timestamp": 0}')
    assert caught.value.path == "$.from"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"NaN"])
def test_what_is_no_message_is_an_error(body: bytes) -> None:
    """A message that is not an object is an error."""
    with pytest.raises(DecodeError, match="expected an object"):
        decode_message(body)


@BOTH
def test_a_bad_row_does_not_hide_the_others(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]]
) -> None:
    """Rows that are no messages are returned beside the others: where, why, and their bytes."""
    decode = decode_page if read is read_page else decode_history
    bad = [b'"a text"', b'{"from": "d", "type": "userdefined"}', b'{"payload": NaN}']
    good = json.dumps(row()).encode()
    body = raw_answer(bad[0], good, bad[1], good, bad[2])
    rows = decode(body, project_id=PROJECT, device_id=DEVICE)
    assert rows.messages == read(answer(row(), row()))
    assert [(one.index, one.path, one.raw, one.reason) for one in rows.bad_rows] == [
        (0, "$.messages[0]", bad[0], "expected an object"),
        (2, "$.messages[2].timestamp", bad[1], "expected a time"),
        (4, "$.messages[4].timestamp", bad[2], "expected a time"),
    ]
    with pytest.raises(DecodeError) as caught:
        read(body)
    assert caught.value.path == "$.messages[0]"


@BOTH
def test_a_page_of_bad_rows_alone_is_an_error(
    row: Callable[..., dict[str, Any]], read: Callable[[bytes], list[Message]]
) -> None:
    """An answer without one readable row is an error where messages are wanted, not empty."""
    decode = decode_page if read is read_page else decode_history
    rows = decode(answer(row(timestamp="no"), 3), project_id=PROJECT, device_id=DEVICE)
    assert (rows.messages, len(rows.bad_rows)) == ([], 2)
    with pytest.raises(DecodeError) as caught:
        rows.whole()
    assert caught.value.path == "$.messages[0].timestamp"
