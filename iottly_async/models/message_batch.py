"""Messages together: a page, and the batches of a walk.

What is made of rows makes its messages when they are first read. A job reads the rows, and no
message is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import field, frozen

from ._model import Model
from .bad_row import BadRow
from .cursor import Cursor
from .message import Message, messages_of, row_of
from .row import MessageRow

_set: Final = object.__setattr__  # the classes are frozen


class HasMessages(Protocol):
    """What has a list of messages."""

    @property
    def messages(self) -> Sequence[Message]:
        """The messages."""
        ...


class MadeOfRows:
    """The base of a frozen class with a field `messages`, which may be made of rows."""

    __slots__ = ("_rows",)
    _rows: Sequence[MessageRow] | None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # The slot of `messages` is empty, so they are made now.
            if name != "messages" or (rows := self._rows) is None:
                raise AttributeError(name)
            messages = messages_of(rows)
            _set(self, "messages", messages)
            _set(self, "_rows", None)  # the messages may be changed, so they count from now on
            return messages


def rows_of(made: HasMessages) -> Sequence[MessageRow]:
    """The messages of a batch or a group as rows."""
    rows: Sequence[MessageRow] | None = getattr(made, "_rows", None)
    return [row_of(message) for message in made.messages] if rows is None else rows


@frozen(kw_only=True)
class MessagePage(Model):
    """One page of messages.

    Attributes:
        messages: of the page, in the order asked for.
    """

    messages: tuple[Message, ...]


@frozen(kw_only=True)
class MessageBatch(MadeOfRows, Model):
    """Messages that a walk yields together, and the cursor that follows them.

    Attributes:
        messages: in the order asked for. All messages of a millisecond are in one batch.
        cursor: where to resume once these messages are stored.
        rejected: rows among them that are no messages, with their bytes and the reason, if the
            walk skips such rows. Equal rows of a device come once. Empty by default.
    """

    messages: list[Message]
    cursor: Cursor
    rejected: list[BadRow] = field(factory=list)


def batch_of(
    rows: Sequence[MessageRow], cursor: Cursor, rejected: list[BadRow] | None = None
) -> MessageBatch:
    """Make a batch of rows; its messages are made when they are first read.

    Args:
        rows: in the order asked for.
        cursor: as in `MessageBatch`.
        rejected: as in `MessageBatch`. None, the default, is an empty list.
    """
    batch = object.__new__(MessageBatch)
    _set(batch, "_rows", rows)
    _set(batch, "cursor", cursor)
    _set(batch, "rejected", [] if rejected is None else rejected)
    return batch
