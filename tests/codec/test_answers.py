"""All models except messages: each field missing, null, and of each wrong type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import attrs
import pytest

from iottly_async import CommandStatus, DecodeError, FleetStatus, LicenseStatus, OperatingStatus
from iottly_async.codec import Answers, read_error

ANSWERS: Final = Answers()
TOKEN: Final = "11f2"
BOARD: Final = {"macaddress": "02:43", "operatingstatus": "connected", "id": "9af7", "name": "b 1"}
DEVICE: Final = {
    "macaddress": "02:43",
    "name": "sensor",
    "operatingstatus": "connected",
    "token": TOKEN,
    "agent_version": "1.8.2",
    "ID": "9af7",
}
FLEET_DEVICE: Final = {
    "id": "dev_1",
    "name": "gateway",
    "project_id": "prj_1",
    "status": "online",
    "last_seen_at": "2026-05-06T14:22:00Z",
}


RESULT: Final = b'{"command_id": "cmd_1", "status": "completed"}'


class Form(NamedTuple):
    """One model on the wire.

    Attributes:
        whole: the object with all its fields.
        wrap: puts the object into the answer that it comes in.
        path: where it lies there.
        read: reads the answer and finds the model in it.
        needed: the fields that the model cannot stand without.
        names: the model's name of a field, where it differs.
    """

    whole: Mapping[str, Any]
    wrap: Callable[[Any], Any]
    path: str
    read: Callable[[bytes], Any]
    needed: frozenset[str]
    names: Mapping[str, str] = {}


FORMS: Final = {
    "ProjectInfo": Form(
        dict.fromkeys(
            ["id", "name", "projectgetagenturl", "agentfile", "agentapihost", "board"], "text"
        ),
        lambda value: value,
        "$",
        ANSWERS.project,
        frozenset(["id"]),
        {
            "projectgetagenturl": "agent_url",
            "agentfile": "agent_file",
            "agentapihost": "agent_api_host",
        },
    ),
    "License": Form(
        {"status": "paired"},
        lambda value: {TOKEN: value},
        f"$.{TOKEN}",
        lambda body: ANSWERS.licenses(body)[0],
        frozenset(["status"]),
    ),
    "Board": Form(
        BOARD,
        lambda value: {TOKEN: {"status": "paired", "board": value}},
        f"$.{TOKEN}.board",
        lambda body: ANSWERS.license(body, TOKEN).board,
        frozenset(),  # its id: without one, the licence has no board
        {"macaddress": "mac_address", "operatingstatus": "operating_status"},
    ),
    "Device": Form(
        DEVICE,
        lambda value: {"count": 2, "errors": None, "devices": [DEVICE, value]},
        "$.devices[1]",
        lambda body: ANSWERS.devices(body)[1],
        frozenset(["ID"]),
        {"ID": "id", "macaddress": "mac_address", "operatingstatus": "operating_status"},
    ),
    "FleetDevice": Form(
        FLEET_DEVICE,
        lambda value: {"data": [value], "meta": {"total": 1, "page": 1, "per_page": 20}},
        "$.data[0]",
        lambda body: ANSWERS.fleet_page(body, 1, 20).devices[0],
        frozenset(["id"]),
    ),
    "Command": Form(
        {"command_id": "cmd_1", "status": "pending"},
        lambda value: value,
        "$",
        ANSWERS.command,
        frozenset(["command_id", "status"]),
        {"command_id": "id"},
    ),
    "CommandResult": Form(
        {
            "command_id": "cmd_1",
            "status": "completed",
            "exit_code": 0,
            "stdout": "up",
            "stderr": "",
            "completed_at": "2026-05-06T14:22:46Z",
        },
        lambda value: value,
        "$",
        lambda body: ANSWERS.command_result(body, "cmd_1"),
        frozenset(["command_id", "status"]),
        {"command_id": "id"},
    ),
}

FIELDS: Final = [(model, name) for model, form in FORMS.items() for name in form.whole]
NUMBERS: Final = {"exit_code"}
TIMES: Final = {"last_seen_at", "completed_at"}
each_field = pytest.mark.parametrize(("model", "name"), FIELDS, ids=".".join)
each_model = pytest.mark.parametrize("model", FORMS)


def body(form: Form, value: Any) -> bytes:
    return json.dumps(form.wrap(value)).encode()


def read(model: str, value: Any) -> Any:
    form = FORMS[model]
    return form.read(body(form, value))


@each_field
def test_a_whole_object_is_read(model: str, name: str) -> None:
    """Each documented field is read into its attribute, and not into `extra`."""
    form = FORMS[model]
    found = read(model, form.whole)
    value = getattr(found, form.names.get(name, name))
    assert value == (_time(form.whole[name]) if name in TIMES else form.whole[name])
    assert found.extra == {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


BOARD_ID: Final = ("Board", "id")
"""A licence whose board has no id has no board; a test of its own shows it."""


@pytest.mark.parametrize(
    ("model", "name"), [field for field in FIELDS if field != BOARD_ID], ids=".".join
)
@pytest.mark.parametrize("how", ["missing", "null"])
def test_a_field_is_missing_or_null(model: str, name: str, how: str) -> None:
    """A field may be missing or null, unless the model requires it (D8)."""
    form = FORMS[model]
    value = {key: text for key, text in form.whole.items() if key != name}
    if how == "null":
        value[name] = None
    if name in form.needed:
        with pytest.raises(DecodeError) as caught:
            read(model, value)
        assert caught.value.path == f"{form.path}.{name}"
    else:
        assert getattr(read(model, value), form.names.get(name, name)) is None


WRONG: Final[dict[str, Any]] = {
    "text": "secret-value",
    "number": 7421,
    "fraction": 1.5,
    "true": True,
    "array": ["secret-value"],
    "object": {"a": "secret-value"},
}


def _right(name: str) -> set[str]:
    """The types of value that a field accepts."""
    return {"number"} if name in NUMBERS | TIMES else {"text"}


WRONG_FIELDS: Final = [
    (model, name, kind)
    for model, name in FIELDS
    if (model, name) != BOARD_ID
    for kind in WRONG.keys() - _right(name)
]


wrong_fields = pytest.mark.parametrize(("model", "name", "kind"), sorted(WRONG_FIELDS), ids=str)


@wrong_fields
def test_a_field_of_a_wrong_type(model: str, name: str, kind: str) -> None:
    """No value is converted. An optional field is None, and its value is in `extra` (D8).

    A needed one is an error: it names the path, never the value.
    """
    form, wrong = FORMS[model], {name: WRONG[kind]}
    if name not in form.needed:
        found = read(model, {**form.whole, **wrong, "more": 1})
        assert getattr(found, form.names.get(name, name)) is None
        assert found.extra == {**wrong, "more": 1}
        assert found == attrs.evolve(
            read(model, {**form.whole, name: None}), extra={**wrong, "more": 1}
        )
        return
    with pytest.raises(DecodeError, match="expected") as caught:
        read(model, {**form.whole, **wrong})
    assert caught.value.path == f"{form.path}.{name}"
    assert "secret-value" not in str(caught.value)
    assert "7421" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("board", [7, "text", ["a"], {"name": "no id"}, {"id": 7}], ids=repr)
def test_a_board_that_cannot_be_read_does_not_fail_its_licence(board: Any) -> None:
    """The licence has no board then, and its `extra` has what came (D8)."""
    answer = json.dumps({TOKEN: {"status": "paired", "board": board}}).encode()
    (licence,) = ANSWERS.licenses(answer)
    assert (licence.status, licence.board, licence.extra) == ("paired", None, {"board": board})


@each_model
def test_what_the_documents_do_not_name_is_extra(model: str) -> None:
    """An undocumented field is kept by its name on the wire, also if it is null (D8)."""
    more = {"installing": False, "fwsyncstatus": None, "deploymentgroup": {"a": [1]}, "extra": 1}
    assert read(model, {**FORMS[model].whole, **more}).extra == more


@pytest.mark.parametrize("model", sorted(FORMS.keys() - {"Board"}))
@pytest.mark.parametrize("value", [[], "", "text", 0, 7, True, False], ids=repr)
def test_what_is_no_object_is_an_error(model: str, value: Any) -> None:
    """Another type instead of an object is an error at the object's path."""
    form = FORMS[model]
    with pytest.raises(DecodeError, match="expected an object") as caught:
        read(model, value)
    assert caught.value.path == form.path


@pytest.mark.parametrize(
    ("model", "name", "attribute", "kind"),
    [
        ("License", "status", "status", LicenseStatus),
        ("Board", "operatingstatus", "operating_status", OperatingStatus),
        ("Device", "operatingstatus", "operating_status", OperatingStatus),
        ("FleetDevice", "status", "status", FleetStatus),
        ("Command", "status", "status", CommandStatus),
        ("CommandResult", "status", "status", CommandStatus),
    ],
)
def test_an_unknown_value_of_an_enumeration_is_kept(
    model: str, name: str, attribute: str, kind: type
) -> None:
    """An undocumented value of an enumeration is kept (D8)."""
    found = getattr(read(model, {**FORMS[model].whole, name: "hibernating"}), attribute)
    assert found == "hibernating"
    assert isinstance(found, kind)


@pytest.mark.parametrize("model", ["FleetDevice", "CommandResult"])
@pytest.mark.parametrize(
    "form",
    [
        "2026-05-06T14:22:00Z",
        "2026-05-06T14:22:00",
        "2026-05-06T16:22:00+02:00",
        1778077320000,
        {"$date": 1778077320000},
        {"$date": {"$numberLong": "1778077320000"}},
    ],
    ids=str,
)
def test_every_form_of_a_time_is_read(model: str, form: Any) -> None:
    """The fleet's times are read in every form, and are aware (D5, D7)."""
    name = "last_seen_at" if model == "FleetDevice" else "completed_at"
    found = getattr(read(model, {**FORMS[model].whole, name: form}), name)
    assert found == datetime(2026, 5, 6, 14, 22, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("board", [{}, None], ids=repr)
def test_an_available_licence_has_no_board(board: Any) -> None:
    """An available licence has an empty board on the wire, and None in the model."""
    answer = json.dumps({TOKEN: {"status": "available", "board": board}}).encode()
    assert ANSWERS.license(answer, TOKEN).board is None


@pytest.mark.parametrize("name", ["total", "page", "per_page"])
@pytest.mark.parametrize("value", ["1", 1.5, True, []], ids=repr)
def test_a_page_of_the_fleet_has_whole_numbers(name: str, value: Any) -> None:
    """Each of a page's numbers is a whole number, or an error at its path."""
    answer = {"data": [], "meta": {"total": 1, "page": 1, "per_page": 20, name: value}}
    with pytest.raises(DecodeError) as caught:
        ANSWERS.fleet_page(json.dumps(answer).encode(), 1, 20)
    assert caught.value.path == f"$.meta.{name}"


@pytest.mark.parametrize("meta", [{"total": 42}, {"total": 42, "page": None, "per_page": None}])
def test_a_page_of_the_fleet_that_does_not_number_itself(meta: dict[str, Any]) -> None:
    """A page without a number or a size has the requested ones (D8)."""
    page = ANSWERS.fleet_page(json.dumps({"data": [], "meta": meta}).encode(), 3, 7)
    assert (page.number, page.per_page, page.total) == (3, 7, 42)


@pytest.mark.parametrize("meta", ["{}", '{"total": null}'])
def test_a_page_of_the_fleet_needs_the_total(meta: str) -> None:
    """An answer without the total is an error."""
    with pytest.raises(DecodeError) as caught:
        ANSWERS.fleet_page(b'{"data": [], "meta": %s}' % meta.encode(), 1, 20)
    assert caught.value.path == "$.meta.total"


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """0.0 is read as the whole number 0: JSON has one type of number."""
    result = read("CommandResult", {**FORMS["CommandResult"].whole, "exit_code": 0.0})
    assert (result.exit_code, type(result.exit_code)) == (0, int)


def test_a_device_may_call_its_id_as_licences_do() -> None:
    """If `ID` is missing, `id` is read instead, and is not in `extra`."""
    device = read("Device", {"id": "9af7", "name": "sensor"})
    assert (device.id, device.extra) == ("9af7", {})
    assert read("Device", {**DEVICE, "id": 7}).extra == {"id": 7}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"data": []}', "$.meta"),
        ('{"data": [], "meta": []}', "$.meta"),
        ('{"meta": {"total": 1, "page": 1, "per_page": 1}}', "$.data"),
        ('{"data": {}, "meta": {"total": 1, "page": 1, "per_page": 1}}', "$.data"),
    ],
)
def test_a_page_of_the_fleet_of_another_shape(text: str, path: str) -> None:
    """A wrong structure around the devices is an error at its path."""
    with pytest.raises(DecodeError) as caught:
        ANSWERS.fleet_page(text.encode(), 1, 20)
    assert caught.value.path == path


@pytest.mark.parametrize("text", ["{}", '{"devices": null}', '{"devices": {"a": 1}}'])
def test_a_list_of_devices_of_another_shape(text: str) -> None:
    """Without an array of devices the list is an error."""
    with pytest.raises(DecodeError, match="expected an array") as caught:
        ANSWERS.devices(text.encode())
    assert caught.value.path == "$.devices"


READERS: Final[list[Callable[[bytes], Any]]] = [
    ANSWERS.ping,
    ANSWERS.project,
    ANSWERS.licenses,
    lambda body: ANSWERS.license(body, TOKEN),
    ANSWERS.devices,
    ANSWERS.device,
    lambda body: ANSWERS.fleet_page(body, 1, 20),
    lambda body: ANSWERS.fleet_device(body, "dev_1"),
    ANSWERS.command,
    lambda body: ANSWERS.command_result(body, "cmd_1"),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"<html>502</html>",
        b"{",
        b'{"id": NaN}',
        b'{"id": 1e999}',
        b'{"id": "\\ud800"}',
        b'{"id": "\xff"}',
        b'{"id": ' + b"9" * 5000 + b"}",
        b"[" * 10_000 + b"]" * 10_000,
        '{"id": "x"}'.encode("utf-16"),
    ],
    ids=lambda data: repr(data)[:20],
)
def test_what_is_not_json_is_an_error(read: Callable[[bytes], Any], data: bytes) -> None:
    """A body that is not JSON raises DecodeError at the root, and no other library's error."""
    with pytest.raises(DecodeError) as caught:
        read(data)
    assert caught.value.path == "$"
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_duplicate_keys_and_a_byte_order_mark() -> None:
    """Of duplicate keys the last wins, and a byte order mark is ignored."""
    assert ANSWERS.project(b'\xef\xbb\xbf{"id": "a", "id": "b"}').id == "b"


@pytest.mark.parametrize("answer", ["{}", '{"status": "ping"}', '{"status": null}'])
def test_a_ping_is_answered_with_pong(answer: str) -> None:
    """Anything but the documented answer is an error."""
    ANSWERS.ping(b'{"status": "pong"}')
    with pytest.raises(DecodeError) as caught:
        ANSWERS.ping(answer.encode())
    assert caught.value.path == "$.status"


@pytest.mark.parametrize(
    ("read", "path"),
    [
        (lambda: ANSWERS.device(json.dumps(DEVICE).encode(), "other"), "$.ID"),
        (lambda: ANSWERS.fleet_device(json.dumps(FLEET_DEVICE).encode(), "other"), "$.id"),
        (
            lambda: ANSWERS.command_result(b'{"command_id": "a", "status": "b"}', "c"),
            "$.command_id",
        ),
        (lambda: ANSWERS.license(b'{"other": {"status": "paired"}}', TOKEN), "$"),
        (lambda: ANSWERS.project(b'{"id": "p1"}', "p2"), "$.id"),
    ],
)
def test_an_answer_about_something_else_is_an_error(read: Callable[[], Any], path: str) -> None:
    """An answer about another id than the requested one is an error."""
    with pytest.raises(DecodeError, match="expected the requested") as caught:
        read()
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (ANSWERS.project(b'{"id": "59C1AB"}', "59c1ab").id, "59C1AB"),
        (ANSWERS.device(b'{"ID": "9AF7"}', "9af7").id, "9AF7"),
        (ANSWERS.fleet_device(b'{"id": "dev_01J3K"}', "dev_01j3k").id, "dev_01J3K"),
        (ANSWERS.license(b'{"AB": {"status": "paired"}}', "ab").token, "AB"),
        (
            ANSWERS.license(b'{"AB": {"status": "a"}, "ab": {"status": "b"}}', "ab").token,
            "ab",
        ),
    ],
)
def test_an_id_in_other_letters_is_the_same(found: str, asked: str) -> None:
    """Ids are compared without case; the model has the service's spelling."""
    assert found == asked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"error": "no such device"}', ("no such device", None, None)),
        (
            '{"error": {"code": "c", "message": "m", "request_id": "r"}}',
            ("m", "c", "r"),
        ),
        ('{"error": {"code": 1, "message": ["m"], "request_id": "r"}}', (None, None, "r")),
        ('{"error": {}}', (None, None, None)),
        ('{"error": null}', None),
        ('{"error": 1}', None),
        ("{}", None),
        ("[]", None),
        ("<html></html>", None),
        ("", None),
    ],
)
def test_errors_of_both_generations(text: str, found: Any) -> None:
    """An error answer is read in either form; None if it is not the API's own."""
    assert read_error(text.encode()) == found
