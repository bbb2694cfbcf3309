"""What a walk is asked for, and the requests that it makes of its page source.

Times in this package are whole milliseconds since the epoch, as the service counts them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from attrs import define, frozen

from ..models.bad_row import BadRow
from ..models.cursor import Order
from ..models.row import MessageRow
from .quirks import Quirks


@frozen(kw_only=True)
class WalkQuery:
    """Which messages to walk over.

    Attributes:
        project_id: the project.
        device_id: the device.
        type: "all", "userdefined" or "iottlyagent". Default "all".
        order: "asc", oldest first, or "desc". Default "asc".
        start: first millisecond, inclusive. Default None: from the oldest message on.
        end: last millisecond, exclusive; never later than the server's present less
            `WalkSettings.settle` (D11). Default None: up to that moment.
    """

    project_id: str
    device_id: str
    type: str = "all"
    order: Order = "asc"
    start: int | None = None
    end: int | None = None


LookBackPart = Literal["all", "old", "none"]
OnBadRow = Literal["raise", "skip"]


@frozen(kw_only=True)
class WalkSettings:
    """How to walk.

    Attributes:
        page_size: messages that one request asks for, 1 to 100. Default 100.
        settle: seconds before the server's present at which a walk ends, so that messages
            that become visible late are not missed (D11). Default 5.
        verify_ties: whether to prove that a millisecond of more than one page was read
            whole, even if the order of its messages changes between requests (D6). Where one
            page holds each millisecond, it costs nothing. Passes over a larger one are repeated
            until the messages found are as many as there are; if all differ and the order is
            stable, the first pass is the proof. If passes do not help, the history endpoint is
            asked for the ids. If that fails too, the walk ends with `UnstableTieOrderError`.
            Default True; False trusts a stable order there.
        on_bad_row: what a row that is no message does (D8), once it was asked for again: "raise"
            ends the walk with `DecodeError`, "skip" yields it in `MessageBatch.rejected`. A page
            on which no row is a message is an error in any case: there is no place to go on
            from. Only the last page may be such, of a device whose messages were read.
            Default "raise".
        lookback: seconds before the newest message yielded that a resumed ascending walk reads
            again, to deliver messages that became visible late: up to `settle` and `lookback`
            after their time. The cursor holds some 40 bytes for each message of that part.
            Default 0: nothing is read again.
        looks_back: what of the lookback a resumed walk reads again: "all" of it, what is "old"
            enough to be read for the last time, or "none". What it does not read is left for a
            later walk, for which the cursor goes on remembering it. Default "all".
        quirks: what is known of the server, and what is learned of it. One for all walks over
            the same server saves the requests that find it out. Default None: nothing is
            known.
    """

    page_size: int = 100
    settle: float = 5.0
    verify_ties: bool = True
    on_bad_row: OnBadRow = "raise"
    lookback: float = 0.0
    looks_back: LookBackPart = "all"
    quirks: Quirks | None = None

    @property
    def latest(self) -> float:
        """Seconds after its time up to which a message may become visible and is found.

        It is 0 without a lookback.
        """
        return self.lookback + max(self.settle, 0.0) if self.lookback else 0.0


# This and `Fetched` are not frozen: that would double the cost of making one, once a page.
@define(kw_only=True)
class PageRequest:
    """A request for one page of the paginated endpoint.

    Attributes:
        device_id: the device.
        start: inclusive, in milliseconds; None sends no lower bound.
        end: exclusive, in milliseconds; None sends no upper bound.
        type: as in `WalkQuery`.
        order: as in `WalkQuery`.
        size: messages a page.
        number: None for the first page, which is sent without a number (D3); k for the k-th
            page, counted from 1.
    """

    device_id: str
    start: int | None
    end: int | None
    type: str
    order: Order
    size: int
    number: int | None


@define(kw_only=True)
class Fetched:
    """The answer to a `PageRequest`.

    Attributes:
        messages: of the page, in the order asked for; empty if none matches (D4).
        server_time: seconds since the epoch on the server's clock when it answered, rounded
            down to the second; None if the answer does not say.
        bad_rows: rows of the page that are no messages, in its order. Default: none.
    """

    messages: Sequence[MessageRow]
    server_time: float | None
    bad_rows: Sequence[BadRow] = ()


@frozen(kw_only=True)
class HistoryRequest:
    """A request for some messages of one millisecond from the history endpoint.

    Attributes:
        device_id: the device.
        type: as in `WalkQuery`.
        at: the millisecond.
        after_id: only messages with greater ids, as hexadecimal text; None for no bound.
        before_id: only messages with smaller ids; None for no bound.
        size: messages at most, in any order.
    """

    device_id: str
    type: str
    at: int
    after_id: str | None
    before_id: str | None
    size: int


Fetch = Callable[[PageRequest], Awaitable[Fetched]]
"""Fetches one page. It raises the library's errors, which a walk passes on unchanged."""

History = Callable[[HistoryRequest], Awaitable[Sequence[MessageRow]]]
"""Fetches messages with their ids, for `WalkSettings.verify_ties`."""

Capacity = Callable[[], int | None]
"""How many requests at once the quota can feed at this moment; None for any number."""
