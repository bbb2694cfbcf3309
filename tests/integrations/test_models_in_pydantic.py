"""The models in Pydantic: written, read back and described, without loading it in the core."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import attrs
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import iottly_async
from iottly_async import BadRow, Board, Cursor, Device, Message, MessageBatch, MessagePage
from iottly_async.models._model import Model
from tests.support.model_examples import CURSOR, EXAMPLES, MESSAGE

BY_NAME = pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)


def test_every_model_has_an_example_here() -> None:
    """A new model must be added to the examples."""
    public = [getattr(iottly_async, name) for name in iottly_async.__all__]
    models = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Model)}
    assert models == {type(value) for value in EXAMPLES}


def test_every_value_of_the_models_room_is_a_model() -> None:
    """What `iottly_async.models` exports, except for enumerations, has `to_dict`."""
    kinds = [getattr(iottly_async.models, name) for name in iottly_async.models.__all__]
    assert all(issubclass(kind, Model) for kind in kinds if attrs.has(kind))


@BY_NAME
def test_a_model_can_be_written_and_read_back(value: Any) -> None:
    """The value that is read back is equal, with unknown enumeration values and extras."""
    adapter = TypeAdapter(type(value))
    assert adapter.validate_json(adapter.dump_json(value)) == value


@BY_NAME
def test_a_model_is_described_by_its_schema(value: Any) -> None:
    """The schema names exactly the members that are written, and all are required."""
    adapter = TypeAdapter(type(value))
    schema = adapter.json_schema(mode="serialization")
    written = json.loads(adapter.dump_json(value))
    assert schema["title"] == type(value).__name__
    assert schema["description"]
    if isinstance(written, dict):
        assert set(schema["properties"]) == set(schema["required"]) == set(written)
    else:
        assert schema["type"] == "string"


@BY_NAME
def test_an_instance_is_not_copied(value: Any) -> None:
    """An instance as a field or as a response stays the same object."""
    assert TypeAdapter(type(value)).validate_python(value) is value


def test_a_message_is_written_with_its_payload_and_key() -> None:
    """The payload is decoded, and the key has the number of an identical message."""
    written = json.loads(TypeAdapter(Message).dump_json(MESSAGE))
    assert written["payload"] == {"t": 37.4}
    assert written["key"] == MESSAGE.key
    assert written["key"].endswith("-2")
    assert "payload_json" not in written


def test_fields_can_be_left_out() -> None:
    """`include` and `exclude`, as in `response_model_exclude`, work: an excluded token is not
    sent."""
    device = Device(id="d", name="n", token="secret")
    adapter = TypeAdapter(Device)
    assert json.loads(adapter.dump_json(device, include={"id", "name"})) == {"id": "d", "name": "n"}
    for exclude in ({"token"}, {"token": True}):
        assert "token" not in adapter.dump_python(device, mode="json", exclude=exclude)
    many = TypeAdapter(list[Device])
    assert b"secret" not in many.dump_json([device], exclude={"__all__": {"token"}})
    batch = TypeAdapter(MessageBatch)
    bare = batch.dump_python(
        MessageBatch(messages=[MESSAGE], cursor=CURSOR), mode="json", include={"cursor"}
    )
    assert set(bare) == {"cursor"}


def test_a_message_that_is_read_back_has_its_key() -> None:
    """The number among identical messages is part of the key."""
    adapter = TypeAdapter(Message)
    assert adapter.validate_json(adapter.dump_json(MESSAGE)).key == MESSAGE.key


@pytest.mark.parametrize(
    "bad", ['{"t":NaN}', "[" * 201 + "]" * 201, '{"a":' * 201 + "1" + "}" * 201, "[" * 9000]
)
def test_an_unreadable_payload_is_written_as_text(bad: str) -> None:
    """A payload that is no JSON, or nested too deeply, does not fail the whole page."""
    page = MessagePage(messages=(MESSAGE, attrs.evolve(MESSAGE, payload_json=bad.encode())))
    written = json.loads(TypeAdapter(MessagePage).dump_json(page))
    assert [message["payload"] for message in written["messages"]] == [{"t": 37.4}, bad]


def test_bytes_that_are_no_utf8_do_not_fail_their_page() -> None:
    """Values in `extra` and bad rows may be any bytes; they are written as text."""
    message = attrs.evolve(MESSAGE, extra={"more": b"\xff", "beside": [b"a", {"b": b"c"}]})
    written = json.loads(TypeAdapter(Message).dump_json(message))
    assert written["extra"] == {"more": "\N{REPLACEMENT CHARACTER}", "beside": ["a", {"b": "c"}]}
    row = BadRow(index=0, path="$.messages[0]", raw=b"\xff", reason="expected an object")
    assert json.loads(TypeAdapter(BadRow).dump_json(row))["raw"] == "\N{REPLACEMENT CHARACTER}"


@BY_NAME
def test_a_model_is_written_where_a_type_says_any(value: Any) -> None:
    """As `Any`, or within a dict or a list, a model is written as by its own type."""
    known = TypeAdapter(type(value)).dump_python(value, mode="json")
    assert TypeAdapter(Any).dump_python(value, mode="json") == known
    written = TypeAdapter(dict[str, Any]).dump_json({"values": [value, (value,)]})
    assert json.loads(written) == {"values": [known, [known]]}
    assert TypeAdapter(object).dump_python(value, mode="json") == known


def test_a_large_payload_is_written_as_json() -> None:
    """A wide payload, or one at the limit of nesting, is not written as text."""
    payloads: tuple[Any, ...] = ([{}] * 500, json.loads("[" * 200 + "]" * 200))
    for payload in payloads:
        text = json.dumps(payload).encode()
        written = TypeAdapter(Message).dump_json(attrs.evolve(MESSAGE, payload_json=text))
        assert json.loads(written)["payload"] == payload


def test_an_enumeration_accepts_unknown_values() -> None:
    """The schema of an enumeration is a text with examples."""
    words = TypeAdapter(Board).json_schema()["properties"]["operating_status"]["anyOf"][0]
    assert words["type"] == "string"
    assert words["examples"] == ["connected", "disconnected"]
    assert "enum" not in words


@pytest.mark.parametrize("text", ["", "{}", "not a cursor", '{"version": 99}', 7])
def test_an_invalid_cursor_is_a_validation_error(text: Any) -> None:
    """It is refused like any other invalid argument."""
    with pytest.raises(ValidationError):
        TypeAdapter(Cursor).validate_python(text)


def test_an_invalid_field_is_a_validation_error_with_a_path() -> None:
    """The error names a missing field or one of the wrong type."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Device).validate_python({"id": 7})
    assert caught.value.errors()[0]["loc"] == ("id",)


def test_models_can_be_fields_of_pydantic_models() -> None:
    """A user's Pydantic model can have our models as fields."""

    class Overview(BaseModel):
        device: Device
        latest: list[Message]
        cursor: Cursor | None = None

    overview = Overview(device=Device(id="d"), latest=[MESSAGE], cursor=CURSOR)
    assert Overview.model_validate_json(overview.model_dump_json()) == overview


def test_the_core_does_not_load_pydantic() -> None:
    """Importing a model does not import pydantic_core."""
    code = "import sys; from iottly_async import Message; sys.exit('pydantic_core' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
