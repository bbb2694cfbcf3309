"""What was read from the rows of an answer: messages, and rows that are none."""

from __future__ import annotations

from typing import NamedTuple

from ..models import BadRow, Message


class DecodedRows(NamedTuple):
    """The rows of one answer.

    Attributes:
        messages: in the answer's order.
        bad_rows: rows that cannot be messages (D8), in the answer's order. Usually none.
    """

    messages: list[Message]
    bad_rows: list[BadRow]

    def whole(self) -> list[Message]:
        """Return the messages of an answer without bad rows.

        Raises:
            DecodeError: a row is no message; the path is that of the first one.
        """
        if self.bad_rows:
            raise self.bad_rows[0].error()
        return self.messages
