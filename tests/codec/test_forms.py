"""How an answer is written: names of fields and forms of values, never values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iottly_async.codec import DOCUMENTED_TIMES, AnswerKind, describe_answer
from iottly_async.codec.forms import time_form

SAMPLES = Path(__file__).parents[1] / "samples"
DEVICE = "3781de91-d446-4c64-825d-756dd60f2dab"
MESSAGE = {
    "from": DEVICE,
    "to": "p",
    "timestamp": "2018-07-27T17:50:04.968",
    "devicetimestamp": "2018-07-27T17:49:51",
    "type": "userdefined",
    "payload": {"secret": 1},
}


def page(*rows: Any) -> bytes:
    """The body of a page."""
    return json.dumps({"messages": rows}).encode()


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2018-07-27T17:50:04.968", "ISO without a zone, 3 digits"),
        ("2018-07-27T17:49:51", "ISO without a zone, whole seconds"),
        ("2018-07-27T17:50:04.968000", "ISO without a zone, 6 digits"),
        ("2018-07-27 17:50:04.968", "ISO without a zone, a space for the T, 3 digits"),
        ("2018-07-27T17:50:04Z", "ISO and Z, whole seconds"),
        ("2018-07-27T17:50:04.968+02:00", "ISO and an offset, 3 digits"),
        (1532713804968, "epoch milliseconds"),
        (1532713804968.0, "epoch milliseconds"),
        ({"$date": "2017-09-20T00:33:27.230Z"}, "$date with ISO and Z, 3 digits"),
        ({"$date": 1505867607230}, "$date with epoch milliseconds"),
        ({"$date": {"$numberLong": "1505867607230"}}, "$date with $numberLong"),
        ("Invalid date", None),
        ("", None),
        ({}, None),
        ({"$date": None}, None),
        (None, None),
        (True, None),
        ([5], None),
    ],
)
def test_each_form_of_a_time_has_a_name(value: Any, form: str | None) -> None:
    """A time that the decoder reads is named; another value is none."""
    assert time_form(value) == form


@pytest.mark.parametrize(
    ("kind", "name"), [("devices", "devices.json"), ("fleet", "fleet_devices.json")]
)
def test_the_documented_samples_differ_in_nothing(kind: AnswerKind, name: str) -> None:
    """The vendor's own examples have all fields, in the documented forms."""
    forms = describe_answer((SAMPLES / name).read_bytes(), kind)
    assert forms is not None
    assert set(forms.times) <= DOCUMENTED_TIMES[kind]
    assert (forms.unnamed, forms.missing, forms.null, forms.unreadable) == ((), (), (), ())


def test_a_page_as_documented_differs_in_nothing() -> None:
    """A channel may be there or not."""
    forms = describe_answer(page(MESSAGE, {**MESSAGE, "channel": "c"}), "page", device_id=DEVICE)
    assert forms is not None
    assert set(forms.times) == DOCUMENTED_TIMES["page"]
    assert (forms.unnamed, forms.missing, forms.null, forms.unreadable) == ((), (), (), ())
    assert (forms.unknown_values, forms.other_case, forms.plain_ids) == ((), False, False)
    assert (forms.floats, forms.byte_order_mark) == (False, False)


@pytest.mark.parametrize(
    ("row", "attribute", "expected"),
    [
        ({**MESSAGE, "qos": 1}, "unnamed", ("qos",)),
        ({**MESSAGE, "_id": {"$oid": "0"}}, "unnamed", ("_id",)),
        ({name: MESSAGE[name] for name in MESSAGE if name != "to"}, "missing", ("to",)),
        ({**MESSAGE, "devicetimestamp": None}, "null", ("devicetimestamp",)),
        ({**MESSAGE, "devicetimestamp": "Invalid date"}, "unreadable", ("devicetimestamp",)),
        ({**MESSAGE, "channel": 7}, "unreadable", ("channel",)),
        ({**MESSAGE, "type": "other"}, "unknown_values", ("type",)),
        ({**MESSAGE, "from": DEVICE.upper()}, "other_case", True),
        ({**MESSAGE, "timestamp": 1532713804968.0}, "floats", True),
    ],
)
def test_a_difference_is_named(row: Any, attribute: str, expected: Any) -> None:
    """A row that differs is described by the field's name, without its value."""
    forms = describe_answer(page(row), "page", device_id=DEVICE)
    assert getattr(forms, attribute) == expected
    assert "secret" not in repr(forms)


def test_a_byte_order_mark_is_told() -> None:
    """It stands before the JSON."""
    forms = describe_answer(b"\xef\xbb\xbf" + page(MESSAGE), "page")
    assert forms is not None
    assert forms.byte_order_mark


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"messages": {}}', b'{"messages": [1]}', b'{"messages": ['],
)
def test_what_is_no_answer_is_not_described(body: bytes) -> None:
    """A body of another shape gives no description, and no error."""
    assert describe_answer(body, "page") is None
