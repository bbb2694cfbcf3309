"""Batches that are made of rows: to a user they are like those that are made of messages."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
import pytest

from iottly_async import BadRow, Message, MessageBatch
from iottly_async.ingest import Group
from iottly_async.ingest.stores.base import group_of
from iottly_async.models.message import row_of
from iottly_async.models.message_batch import batch_of, rows_of
from tests.support.model_examples import CURSOR, MESSAGE

BAD = BadRow(index=0, path="$.messages[0]", raw=b"1", reason="expected an object")
WAYS: dict[str, Callable[[MessageBatch], Any]] = {
    "the batch itself": lambda batch: batch,
    "its text": repr,
    "to_dict": lambda batch: batch.to_dict(),
    "to_json": lambda batch: batch.to_json(),
    "msgspec": msgspec.json.encode,
    "attrs.asdict": attrs.asdict,
    "attrs.evolve": lambda batch: attrs.evolve(batch, rejected=[]),
    "pickle": lambda batch: pickle.loads(pickle.dumps(batch)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def of_rows(*messages: Message) -> MessageBatch:
    """A batch that a walk makes."""
    return batch_of([row_of(message) for message in messages], CURSOR, [BAD])


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_batch_of_rows_is_like_a_batch_of_messages(way: str) -> None:
    """Equality, texts, dicts, pickles and copies do not show whether messages were made yet."""
    made = MessageBatch(messages=[MESSAGE, MESSAGE.numbered(1)], cursor=CURSOR, rejected=[BAD])
    found = WAYS[way](of_rows(MESSAGE, MESSAGE.numbered(1)))
    assert found == WAYS[way](made)
    if isinstance(found, MessageBatch):
        assert [one.key for one in found.messages] == [one.key for one in made.messages]


def test_messages_are_made_once() -> None:
    """A change of the list lasts, and counts for who takes rows."""
    batch = of_rows(MESSAGE)
    assert batch.messages is batch.messages
    batch.messages.clear()
    assert list(rows_of(batch)) == []
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(batch, "no_such_name")  # noqa: B009 - a type checker refuses the attribute
    assert not hasattr(MessageBatch.__new__(MessageBatch), "messages")


def test_a_group_of_rows_is_like_a_group_of_messages() -> None:
    """A user's store finds the messages in it, and its own tests make it of messages."""
    rows = [row_of(MESSAGE)]
    made = Group(messages=[MESSAGE], rejected=[], cursors={"d": CURSOR})
    assert group_of(rows, rejected=[], cursors={"d": CURSOR}) == made
    assert group_of(rows, rejected=[], cursors={}).arrow() == made.arrow()
