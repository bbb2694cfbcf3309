"""Models leave the library through the tools that people have: dicts, JSON, copies, pickles."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime, timedelta, timezone
from pprint import pformat
from typing import Any

import attrs
import cattrs
import msgspec
import orjson
import pytest

from iottly_async import Cursor, Message, MessageBatch
from iottly_async.codec import decode_page
from tests.codec.samples import DEVICE, PROJECT, answer, paged, raw_answer, raw_row
from tests.support.model_examples import CURSOR, EXAMPLES, MESSAGE, TIME

BY_NAME = pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
BASE64 = "eyJ0IjozNy40fQ"  # of the payload of MESSAGE
REPLACED = "\N{REPLACEMENT CHARACTER}"
PLAIN = (str, int, float, bool, type(None))


def leaves(value: Any) -> list[Any]:
    """Every name and value within a value of JSON."""
    if isinstance(value, dict):
        return [*value, *(leaf for each in value.values() for leaf in leaves(each))]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def is_clean(text: str) -> bool:
    """Whether a text shows no private name and no payload in base64."""
    return BASE64 not in text and not any(
        f"{quote}_{name}" in text for quote in "\"'" for name in ("payload", "digest", "ordinal")
    )


def test_a_message_as_a_dict() -> None:
    """The payload is inline, times are ISO text in UTC, and the key is there."""
    assert MESSAGE.to_dict() == {
        "device_id": "d",
        "project_id": "p",
        "timestamp": "2026-04-30T12:00:00.250000Z",
        "device_timestamp": None,
        "type": "userdefined",
        "payload": {"t": 37.4},
        "id": None,
        "channel": None,
        "extra": {"signal": -71},
        "key": MESSAGE.key,
    }
    local = datetime(2026, 4, 30, 14, tzinfo=timezone(timedelta(hours=2)))
    message = attrs.evolve(MESSAGE, timestamp=local, device_timestamp=TIME)
    assert message.to_dict()["timestamp"] == "2026-04-30T12:00:00Z"
    assert message.to_dict()["device_timestamp"] == "2026-04-30T12:00:00.250000Z"


def test_a_message_of_a_page_is_written_like_one_that_was_created() -> None:
    """A message that came in an answer is written with the same names."""
    read = decode_page(answer(paged()), project_id=PROJECT, device_id=DEVICE).messages[0]
    assert list(read.to_dict()) == list(MESSAGE.to_dict())
    assert json.loads(read.to_json()) == read.to_dict()
    assert msgspec.to_builtins(read) == read.to_dict()


@BY_NAME
def test_a_dict_has_only_values_of_json(value: Any) -> None:
    """Whatever the model holds, its dict has texts, numbers, lists and dicts, and JSON the same."""
    written = value.to_dict()
    assert all(type(leaf) in PLAIN for leaf in leaves(written))
    assert json.loads(json.dumps(written)) == json.loads(value.to_json()) == written
    assert "\n" not in value.to_json()
    assert is_clean(value.to_json())


@BY_NAME
def test_a_model_is_read_like_a_mapping(value: Any) -> None:
    """`dict(model)` and `{**model}` are `to_dict`; a loop over a model is an error."""
    assert dict(value) == {**value} == value.to_dict()
    assert json.loads(json.dumps({"values": [value]}, default=dict)) == {
        "values": [value.to_dict()]
    }
    with pytest.raises(KeyError):
        value["_payload"]
    with pytest.raises(TypeError, match="not iterable"):
        iter(value)


@BY_NAME
def test_json_dumps_takes_any_default(value: Any) -> None:
    """`json.dumps` and `orjson.dumps` write models with a function that they are given."""
    for default in (dict, type(value).to_dict, lambda model: model.to_dict()):
        assert json.loads(json.dumps([value], default=default)) == [value.to_dict()]
        assert orjson.loads(orjson.dumps([value], default=default)) == [value.to_dict()]
    assert is_clean(json.dumps([value], default=str))


@BY_NAME
def test_msgspec_writes_models(value: Any) -> None:
    """msgspec writes the names and values of `to_dict`: no base64, no private names."""
    written = msgspec.json.encode({"values": [value]})
    (found,) = json.loads(written)["values"]
    assert is_clean(written.decode())
    assert found == msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(value)))
    if not isinstance(value, Cursor | MessageBatch):  # msgspec writes a cursor as an object
        expected = value.to_dict()
        if "raw" in expected:
            expected["raw_text"] = expected.pop("raw")
        assert found == expected


@BY_NAME
def test_attrs_and_cattrs_see_no_private_names(value: Any) -> None:
    """The fields are the public ones, and a payload is the bytes that arrived."""
    for written in (attrs.asdict(value), cattrs.unstructure(value)):
        assert not any(str(name).startswith("_") for name in leaves(_lists(written)))
        assert is_clean(repr(written))
    assert not any(field.name.startswith("_") for field in attrs.fields(type(value)))


def _lists(value: Any) -> Any:
    """The value with lists for tuples."""
    if isinstance(value, dict):
        return {name: _lists(each) for name, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, list | tuple) else value


@BY_NAME
def test_a_model_is_copied_and_pickled(value: Any) -> None:
    """Copies and pickles are equal and are written alike, a message with its number."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)).to_dict() == value.to_dict()
    for again in (copy.copy(value), copy.deepcopy(value), attrs.evolve(value)):
        assert again == value
        assert type(again) is type(value)
    assert copy.deepcopy(value).to_dict() == copy.copy(value).to_dict() == value.to_dict()
    assert is_clean(pformat(value))


def test_a_dict_is_the_callers_own() -> None:
    """Changing a dict, or the payload in it, changes no message."""
    written = MESSAGE.to_dict()
    written["payload"]["t"] = written["extra"]["signal"] = 0
    assert MESSAGE.payload == {"t": 37.4}
    assert MESSAGE.extra == {"signal": -71}


@pytest.mark.parametrize("payload", [b'{"t": NaN}', b'"\xff"', b"[" * 201 + b"]" * 201])
def test_a_payload_that_cannot_be_read_does_not_fail_its_page(payload: bytes) -> None:
    """It is written as a text: by msgspec as `payload_text`, elsewhere as `payload`."""
    rows = decode_page(
        raw_answer(raw_row('{"v": 1}'), raw_row(payload)), project_id=PROJECT, device_id=DEVICE
    )
    good, bad = rows.messages
    text = payload.decode("utf-8", "replace")
    assert bad.to_dict()["payload"] == bad.payload_text == text
    assert json.loads(bad.to_json())["payload"] == text
    written = json.loads(msgspec.json.encode([good, bad]))
    assert written[0]["payload"] == {"v": 1}
    assert written[1]["payload_text"] == text
    assert "payload" not in written[1]


def test_bytes_in_extra_are_text() -> None:
    """A field that is no JSON is kept as bytes, and written as text."""
    message = attrs.evolve(MESSAGE, extra={"more": b"\xff1", "beside": [b"a"]})
    assert message.to_dict()["extra"] == {"more": f"{REPLACED}1", "beside": ["a"]}


def test_a_cursor_is_what_its_own_json_says() -> None:
    """The dict of a cursor is its JSON, and within a batch it is the text that resumes a walk."""
    assert CURSOR.to_dict() == json.loads(CURSOR.to_json())
    assert Cursor.from_json(json.dumps(CURSOR.to_dict())) == CURSOR
    batch = MessageBatch(messages=[MESSAGE], cursor=CURSOR)
    assert Cursor.from_json(batch.to_dict()["cursor"]) == CURSOR


def test_a_changed_copy_forgets_what_was_computed() -> None:
    """`attrs.evolve` gives a message with a payload and a key of its own."""
    assert MESSAGE.payload
    assert MESSAGE.key
    other = attrs.evolve(MESSAGE, payload_json=b"[1]")
    assert (other.payload, other.to_dict()["payload"]) == ([1], [1])
    assert other.key != MESSAGE.key
    assert isinstance(pickle.loads(pickle.dumps(other)), Message)
