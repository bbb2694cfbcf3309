"""What was asked and answered: the evidence that checks read. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Literal, NamedTuple

from attrs import Factory, define, frozen

from ..codec import (
    AnswerForms,
    AnswerKind,
    Answers,
    DecodedRows,
    decode_history,
    decode_page,
    describe_answer,
    is_object,
)
from ..config import Config, TimestampFormat
from ..errors import DecodeError
from ..models import FleetDevicePage, Message
from ..models._time import epoch_ms
from ..ratelimit.headers import Observation, read_observation
from ..wire import Answer, is_api_error, one_line
from .plan import Step


class SampleRow(NamedTuple):
    """A message of an answer, as far as checks compare messages.

    Attributes:
        at: milliseconds since the epoch.
        content: a digest of type and payload.
    """

    at: int
    content: bytes


@frozen(kw_only=True)
class Exchange:
    """One request and what came of it.

    Attributes:
        step: the step that it belongs to.
        parameters: the names of the query's parameters.
        answer: the answer, without the key; None if there was none.
        failure: the class of the error if there was none; "" if there was one.
        sent_at: the local wall clock when it was sent, in seconds since the epoch.
        seconds: from there to the answer or the failure.
        kept: whether it went over a connection that had served an earlier request.
        version: of HTTP that the answer has; None if it is not known.
    """

    step: Step
    parameters: tuple[str, ...]
    answer: Answer | None
    failure: str
    sent_at: float
    seconds: float
    kept: bool
    version: tuple[int, int] | None = None

    @property
    def status(self) -> int | None:
        """The status of the answer; None if there was none."""
        return None if self.answer is None else self.answer.status

    @property
    def succeeded(self) -> bool:
        """Whether the answer is a success of the API, in JSON."""
        answer = self.answer
        return answer is not None and 200 <= answer.status < 300 and not self.is_page

    @cached_property
    def is_page(self) -> bool:
        """Whether the answer is none of the API's own: HTML of a proxy, say."""
        answer = self.answer
        if answer is None:
            return False
        if answer.status >= 300:
            return not is_api_error(answer)
        return not is_object(answer.body)

    @cached_property
    def page_rows(self) -> list[SampleRow] | None:
        """The rows of a page, in its order; [] if none matches (D4), None if it has no rows."""
        if self.status == 404 and not self.is_page:
            return []
        return self._rows(decode_page)

    @cached_property
    def history_rows(self) -> list[SampleRow] | None:
        """The rows of the history's answer, in its order; None if it has no rows."""
        return self._rows(decode_history)

    def _rows(self, decode: Callable[..., DecodedRows]) -> list[SampleRow] | None:
        if self.answer is None or not self.succeeded:
            return None
        try:
            # The ids are for messages that name none; a sample holds no ids.
            messages = decode(self.answer.body, project_id="", device_id="").messages
        except DecodeError:
            return None
        return [_row(message) for message in messages]

    @property
    def observation(self) -> Observation | None:
        """What the answer says about the quota; None if it says nothing."""
        return None if self.answer is None else read_observation(self.answer.headers)

    def outcome(self) -> str:
        """Say in a few words what came of the request, without anything of a body."""
        if self.answer is None:
            return f"no answer ({self.failure})"
        if self.is_page:
            kind = one_line(self.answer.headers.get("content-type", "no content type"))
            return f"{self.answer.status}, not the API's own answer ({kind[:40]})"
        return str(self.answer.status)


@frozen
class StreamOutcome:
    """What came of opening the WebSocket.

    Attributes:
        kind: "understood", "other frames" if it opened and speaks another protocol, "refused",
            or "not tried".
        text: what happened.
        status: of the answer; None if there was none.
        seconds: that it took.
    """

    kind: Literal["understood", "other frames", "refused", "not tried"]
    text: str
    status: int | None = None
    seconds: float = 0.0


@define
class Evidence:
    """All exchanges of a diagnosis, by what they were for; None is a request that was not sent.

    Attributes:
        config: the session's settings.
        project_id: that was asked for.
        pools: whether the library's own transport is used, so that `kept` can be believed.
        exchanges: all of them, in order.
        stopped: why no further requests were sent; None if they were.
        ping: of v1.0.
        fleet: the first page of the fleet's devices.
        project: its summary.
        devices: of the project.
        device_ids: in the order in which they are tried.
        newest: for each device that was tried, its newest messages.
        device_id: of the device that the sample is of; "" if none has messages.
        oldest: its oldest messages.
        repeats: the same request again.
        block: messages a page of `numbers`; 0 if the sample is too small.
        numbers: pages 1 and 2, oldest first.
        pivot: the index of the row after which `forms` begin; None if no row is fit.
        forms: pages from a millisecond behind the pivot, for each form of time.
        span: the rows that `range` should bring, as a slice of `oldest`.
        range: a page from the first row of `span`, to the row behind its last.
        nothing: a page of a range without messages.
        latest: of the history.
        filtered_from: the lower bound of `filtered`, in milliseconds.
        filtered: of the history, from there on.
        late: the newest messages again, at the end.
        stream: of the WebSocket.
    """

    config: Config
    project_id: str
    pools: bool = False
    exchanges: list[Exchange] = Factory(list)
    stopped: str | None = None
    ping: Exchange | None = None
    fleet: Exchange | None = None
    project: Exchange | None = None
    devices: Exchange | None = None
    device_ids: list[str] = Factory(list)
    newest: dict[str, Exchange] = Factory(dict)
    device_id: str = ""
    oldest: Exchange | None = None
    repeats: list[Exchange] = Factory(list)
    block: int = 0
    numbers: list[Exchange] = Factory(list)
    pivot: int | None = None
    forms: dict[TimestampFormat, Exchange] = Factory(dict)
    span: slice | None = None
    range: Exchange | None = None
    nothing: Exchange | None = None
    latest: Exchange | None = None
    filtered_from: int = 0
    filtered: Exchange | None = None
    late: Exchange | None = None
    stream: StreamOutcome | None = None

    def page_rows(self, exchange: Exchange | None) -> list[SampleRow] | None:
        """The rows of a page, as `Exchange.page_rows`; None if there is no exchange."""
        return None if exchange is None else exchange.page_rows

    def history_rows(self, exchange: Exchange | None) -> list[SampleRow] | None:
        """The rows of the history's answer, as `Exchange.history_rows`; None if there is none."""
        return None if exchange is None else exchange.history_rows

    def forms_of(self, exchange: Exchange | None, kind: AnswerKind) -> AnswerForms | None:
        """How an answer is written; None if there is no such answer."""
        if exchange is None or exchange.answer is None or not exchange.succeeded:
            return None
        return describe_answer(exchange.answer.body, kind, device_id=self.device_id)

    def fleet_page(self) -> FleetDevicePage | None:
        """The first page of the fleet's devices; None if there is none."""
        if self.fleet is None or self.fleet.answer is None or not self.fleet.succeeded:
            return None
        try:
            return Answers().fleet_page(self.fleet.answer.body, 1, 100)
        except DecodeError:
            return None

    def why_not(self, exchange: Exchange | None, needs: str = "") -> str:
        """Say why there is no evidence: the request failed, or was not sent."""
        if exchange is not None:
            got = "was answered by" if exchange.answer is not None else "got"
            return f"the request {got} {exchange.outcome()}"
        if needs:
            return needs
        if self.stopped is not None:
            return f"not asked: {self.stopped}"
        return "not asked: no device has messages that can be read"


def _row(message: Message) -> SampleRow:
    digest = blake2b(message.payload_json, digest_size=16)
    digest.update(repr(message.type).encode())
    return SampleRow(epoch_ms(message.timestamp), digest.digest())


def times_of(rows: Sequence[SampleRow]) -> list[int]:
    """The times of rows."""
    return [row.at for row in rows]


def largest_tie(rows: Sequence[SampleRow]) -> int:
    """The number of rows in the millisecond that has the most; 0 if there are no rows."""
    counts: dict[int, int] = {}
    for row in rows:
        counts[row.at] = counts.get(row.at, 0) + 1
    return max(counts.values(), default=0)
