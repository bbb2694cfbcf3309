"""Page numbers put to the test, once a session, where a walk must rely on them.

Only a millisecond that fills more than a page is read by page numbers alone. A service
that takes no notice of them would be asked for ever; one that counts them from another
number than the walk does would have a page of that millisecond lost, or read twice. Both
show in where there is a message by its rank, whatever the order among ties.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .piece import CompleteInterval

_FAR: Final = 1_000_000
"""More messages than one millisecond holds."""


class NumberingProbe(NamedTuple):
    """Whether a page begins with the millisecond; with no number, whether it is there at all."""

    number: int | None
    size: int
    expected: bool


class NumberingTest:
    """Questions about one millisecond, and what is held back until they are answered.

    Attributes:
        at: its position.
        anchor: from where ranks are counted.
        piece: what is to be given out when all is well; None for nothing.
    """

    __slots__ = ("_questions", "anchor", "at", "piece")

    def __init__(
        self,
        anchor: int,
        at: int,
        questions: list[NumberingProbe],
        piece: CompleteInterval | None = None,
    ) -> None:
        self.anchor = anchor
        self.at = at
        self.piece = piece
        self._questions = questions

    @classmethod
    def of_far(cls, anchor: int, at: int) -> NumberingTest:
        """Is there an end to the pages?"""
        return cls(anchor, at, [NumberingProbe(_FAR, 1, expected=False)])

    @classmethod
    def of_count(cls, anchor: int, count: int, page: int, piece: CompleteInterval) -> NumberingTest:
        """Are there as many messages where `piece` begins, the first from `anchor` on, as
        were read page by page of `page` messages?

        A page more or less is told from a few that came or went meanwhile.
        """
        if count > page:
            first = NumberingProbe(count - max(0, min(page // 2, page - 2)), 1, expected=True)
        else:
            # The second page may be the one left out, and may have held a single message.
            first = NumberingProbe(2, page - 1, expected=True)
        beyond = NumberingProbe(count + max(1, page // 2), 1, expected=False)
        return cls(anchor, piece.start, [first, beyond], piece)

    @property
    def question(self) -> NumberingProbe:
        """The page to ask for."""
        return self._questions[0]

    def answered(self, *, there: bool) -> bool | None:
        """Take an answer in: True when all is well, False when nothing can be told, for
        the messages were deleted, None for another question.

        Raises:
            ValueError: page numbers do not count as they should.
        """
        question = self._questions.pop(0)
        if there == question.expected:
            if question.number is None:
                raise ValueError  # it is still there, and yet one of its messages was not
            return None if self._questions else True
        if question.number is None:
            return False
        if not question.expected:
            raise ValueError
        self._questions = [NumberingProbe(None, 1, expected=True)]
        return None
