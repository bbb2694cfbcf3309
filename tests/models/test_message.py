"""A message as a value: frozen, slotted, hashed, pickled; its payload and its key."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from iottly_async import Message, MessageType
from iottly_async.errors import ConfigurationError
from iottly_async.models._time import iso_texts
from iottly_async.models.cursor import Cursor, CursorDraft
from iottly_async.models.message import MessageDraft, row_of
from iottly_async.models.row import digest_all, keys_of
from tests.codec.samples import (
    answer,
    paged,
    raw_answer,
    raw_row,
    read_history,
    read_page,
    stored,
)

AT = datetime(2018, 7, 27, 17, 50, 4, 968_000, UTC)
ROME = timezone(timedelta(hours=2))


def made(**changes: Any) -> Message:
    """A message that a user creates."""
    fields: dict[str, Any] = {"device_id": "d", "timestamp": AT, "payload_json": b'{"v": 1}'}
    return Message(**(fields | changes))


def read() -> Message:
    """A message of a page."""
    return read_page(answer(paged()))[0]


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Message)])
def test_it_is_frozen(name: str) -> None:
    """No field can be set or deleted, of a created message or of one from a page."""
    for message in (made(), read()):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(message, name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(message, name)


def test_it_is_slotted() -> None:
    """A message has no dictionary, and accepts no further attribute."""
    for message in (made(), read()):
        assert not hasattr(message, "__dict__")
        with pytest.raises(AttributeError):
            message.colour = "red"  # type: ignore[attr-defined]


def test_its_fields_are_given_by_name() -> None:
    """Every field is keyword-only."""
    with pytest.raises(TypeError):
        Message("d", AT)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize("name", ["timestamp", "device_timestamp"])
def test_a_naive_time_is_refused(name: str) -> None:
    """A naive time is refused (D5), also in a copy."""
    with pytest.raises(ConfigurationError, match=f"{name} must be an aware"):
        made(**{name: AT.replace(tzinfo=None)})
    changes: dict[str, Any] = {name: AT.replace(tzinfo=None)}
    with pytest.raises(ValueError, match=name):
        attrs.evolve(read(), **changes)


def test_one_read_from_a_page_is_a_message_like_any_other() -> None:
    """A message of the fast path has the class `Message`, and equals a created one."""
    message = read()
    assert type(message) is Message
    again = Message(
        **{
            field.name: getattr(message, field.name)
            for field in attrs.fields(Message)
            if field.init
        }
    )
    assert message == again
    assert hash(message) == hash(again)
    assert repr(message) == repr(again)


def test_a_draft_has_the_slots_of_a_message() -> None:
    """A message draft has exactly the slots of a message."""
    names = {field.name for field in attrs.fields(Message)}
    assert set(MessageDraft.__slots__) == names | {"_digest", "_ordinal", "_payload"}


def test_a_draft_has_the_slots_of_a_cursor() -> None:
    """A cursor draft has the slots of a cursor, one for what computes some of them, and one for
    weak references."""
    names = {field.name for field in attrs.fields(Cursor)}
    assert set(CursorDraft.__slots__) == names | {"look_back", "__weakref__"}


def test_equality_is_by_content() -> None:
    """Messages are equal if their fields are, whether or not the payload was decoded."""
    one, other = made(), made()
    assert one.payload == {"v": 1}
    assert one == other
    assert len({one, other}) == 1
    assert made(payload_json=b'{"v": 2}') != one
    assert made(extra={"a": [1]}) != one


def test_extras_do_not_hinder_hashing() -> None:
    """A message with a mapping in `extra` can be in a set."""
    assert made(extra={"a": {"b": []}}) in {made(extra={"a": {"b": []}})}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_be_pickled(protocol: int) -> None:
    """A pickled message comes back equal, with its key and its number."""
    for message in (made(), read(), read().numbered(2), made(type=MessageType("new"))):
        again = pickle.loads(pickle.dumps(message, protocol))
        assert again == message
        assert again.key == message.key
        assert again.payload == message.payload


def test_it_can_be_copied_and_changed() -> None:
    """`copy` and `attrs.evolve` work, and a changed message has another key."""
    message = read()
    assert copy.copy(message) == copy.deepcopy(message) == message
    assert message.key != attrs.evolve(message, channel="b").key
    assert attrs.evolve(message, payload_json=b'{"v": 2}').payload == {"v": 2}


def test_its_repr_does_not_decode_the_payload() -> None:
    """The repr shows the JSON that arrived, and no private field."""
    text = repr(made(payload_json=b"NaN"))
    assert "payload_json=b'NaN'" in text
    assert "_digest" not in text
    assert "_ordinal" not in text


def test_its_key_is_the_same_for_ever() -> None:
    """The key of a message never changes: existing stores depend on it."""
    assert read().key == "f986c2beb5b36921cb8b8137d94b74fb"
    assert made().key == "0fd8e56b1c890e5442e6b24569699c10"


def test_both_endpoints_give_one_key() -> None:
    """The history and the paginated form of one message have the same key."""
    (page,) = read_page(answer(paged()))
    (history,) = read_history(answer(stored()))
    assert page.key == history.key
    assert page.id is None
    assert history.id is not None


def test_the_way_it_was_read_does_not_change_the_key() -> None:
    """The order of keys, spaces and undocumented fields do not change the key."""
    first = raw_row('{"a": 1, "b": {"c": 2, "d": [1.5]}}')
    second = raw_row('{ "b":{"d":[1.50],"c":2},"a":1 }', strange=True)
    one, other = read_page(raw_answer(first, second))
    assert one.key == other.key


@pytest.mark.parametrize(
    "change",
    [
        {"device_id": "e"},
        {"project_id": "p"},
        {"timestamp": AT + timedelta(milliseconds=1)},
        {"device_timestamp": AT},
        {"type": MessageType.IOTTLYAGENT},
        {"channel": "c"},
        {"payload_json": b'{"v": 1.5}'},
        {"payload_json": b"NaN"},
    ],
    ids=str,
)
def test_another_content_has_another_key(change: dict[str, Any]) -> None:
    """A message that differs in anything but `id` and `extra` has another key."""
    assert made(**change).key != made().key
    assert made(id="x", extra={"a": 1}).key == made().key


def test_digests_made_together_are_those_made_one_by_one() -> None:
    """`digest_all` computes the same digests as `digest`, whatever the times."""
    times = [AT, AT.replace(microsecond=0), AT.replace(microsecond=968_999), AT.astimezone(ROME)]

    def messages() -> list[Message]:
        return [
            made(timestamp=time, device_timestamp=other, project_id="p", channel=channel)
            for time in times
            for other in (None, *times)
            for channel in (None, "a\nb")
        ]

    together, alone = [row_of(one) for one in messages()], messages()
    digest_all(together, [one.payload for one in alone])
    assert keys_of(together) == keys_of(alone) == [one.key for one in alone]
    finer, whole = made(timestamp=times[2]), made(timestamp=AT)
    assert finer.key == whole.key == made(timestamp=times[3]).key


def test_times_as_texts_are_in_utc_and_in_milliseconds() -> None:
    """Times of any zone and precision are written in UTC, always with milliseconds."""
    times = [AT, None, AT.replace(microsecond=0), AT.replace(microsecond=968_999)]
    texts = ["2018-07-27T17:50:04.968Z", None, "2018-07-27T17:50:04.000Z"]
    assert iso_texts(times) == [*texts, texts[0]]
    assert iso_texts([AT.astimezone(ROME)]) == texts[:1]


def test_identical_messages_are_told_apart_by_a_number() -> None:
    """`numbered` keeps the digest, and adds the number to the key."""
    message = made()
    assert message.numbered(0) is message
    second = message.numbered(1)
    assert second.digest == message.digest
    assert second.key == f"{message.digest}-1"
    assert second.numbered(1) is second
    assert second.numbered(0).key == message.key
    assert second == message
