"""What was read from the rows of an answer: messages, and rows that are none."""

from __future__ import annotations

from typing import NamedTuple

from ..models import BadRow, Message
from ..models.message import messages_of
from ..models.row import MessageRow


class DecodedRows(NamedTuple):
    """The rows of one answer.

    Attributes:
        rows: the messages, in the answer's order.
        bad_rows: rows that cannot be messages (D8), in the answer's order. Usually none.
    """

    rows: list[MessageRow]
    bad_rows: list[BadRow]

    @property
    def messages(self) -> list[Message]:
        """The messages, made anew."""
        return messages_of(self.rows)

    def whole(self) -> list[MessageRow]:
        """Return the messages of an answer without bad rows.

        Raises:
            DecodeError: a row is no message; the path is that of the first one.
        """
        if self.bad_rows:
            raise self.bad_rows[0].error()
        return self.rows
