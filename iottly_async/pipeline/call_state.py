"""The state of one call under way."""

from __future__ import annotations

from ..errors import Sent
from ..transport import Outgoing
from ..wire import Answer
from .outage import CallOutcomes
from .patience import Patience


class CallState:
    """What is known of a call, for its errors and its retries.

    Attributes:
        attempts: requests sent, or tried to send.
        refusals: answers of 429.
        paid: tokens of the retry budget that the call's retries cost.
        outgoing: the attempt under way; None between attempts.
        strays: answers that were stray bytes on a kept connection. After the first, the call
            uses connections of its own.
        sent_at: when the last attempt began, in seconds of the monotonic clock.
        answer: to the last attempt; None if there was none.
        may_have_left: whether an attempt before the one under way may have reached the service.
        outcomes: what the call has met, for the outage circuit.
        patience: how long failures are waited out; None for a call that is bound by the retry
            policy and its timeout.
    """

    __slots__ = (
        "answer",
        "attempts",
        "may_have_left",
        "outcomes",
        "outgoing",
        "paid",
        "patience",
        "refusals",
        "sent_at",
        "strays",
    )

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience
        self.outcomes = CallOutcomes()
        self.attempts = 0
        self.sent_at = 0.0
        self.refusals = 0
        self.strays = 0
        self.paid = 0
        self.outgoing: Outgoing | None = None
        self.answer: Answer | None = None
        self.may_have_left = False

    @property
    def sent(self) -> Sent:
        """Whether any attempt of the call may have reached the service."""
        under_way = self.outgoing is not None and self.outgoing.may_have_left
        return "maybe" if self.may_have_left or under_way else "no"

    def attempt_failed(self, *, not_taken: bool) -> None:
        """End the attempt under way; `not_taken`: the service surely did not act on it."""
        self.may_have_left = self.sent == "maybe" and not not_taken
        self.outgoing = None
