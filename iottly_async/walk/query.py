"""What a walk is asked for, and what it asks of the pages' source.

Times in this room are whole milliseconds since the epoch, as the service counts them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import define, frozen

from ..models.cursor import Order
from ..models.message import Message
from .quirks import Quirks


@frozen(kw_only=True)
class WalkQuery:
    """Which messages to walk over.

    Attributes:
        project_id, device_id: whose.
        type: "all", "userdefined" or "iottlyagent". Default "all".
        order: "asc", oldest first, or "desc". Default "asc".
        start: first millisecond, inclusive; None for the oldest there is.
        end: exclusive; None for up to now. Never later than the server's now less
            `WalkSettings.settle` (D11).
    """

    project_id: str
    device_id: str
    type: str = "all"
    order: Order = "asc"
    start: int | None = None
    end: int | None = None


@frozen(kw_only=True)
class WalkSettings:
    """How to walk.

    Attributes:
        page_size: messages asked for in one request, 1 to 100. Default 100.
        settle: seconds before the server's now at which a walk ends, so that messages
            that become visible late are not missed (D11). Default 5.
        verify_ties: prove that a millisecond which fills more than one page was read
            whole even if the order among its messages changes between requests: passes
            over it are repeated until the messages found are as many as there are; then
            the history endpoint is asked for their ids; where that fails too, the walk
            ends with `UnstableTieOrderError`. Default False: a stable order is trusted
            there, and only there.
        lookback: seconds before the end of the walk that a cursor ended with which are
            read again when it is resumed, ascending, to hand out messages that became
            visible later than `settle`. The cursor then remembers the messages of that
            stretch, some 40 bytes each. Default 0: nothing is read again.
        quirks: what is known of the server already, and what is learned of it; one for
            all walks over the same server saves the requests that find it out. None:
            nothing is known.
    """

    page_size: int = 100
    settle: float = 5.0
    verify_ties: bool = False
    lookback: float = 0.0
    quirks: Quirks | None = None


# This and `Fetched` are not frozen: it would double what their making costs, once a page.
@define(kw_only=True)
class PageRequest:
    """One page to fetch of the paginated endpoint.

    Attributes:
        device_id, type, order: as in the query.
        start: inclusive; None: no lower bound is sent.
        end: exclusive; None: no upper bound is sent.
        size: messages a page.
        number: None for the first page, sent without a number (D3); k for the k-th
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
    """What came of a `PageRequest`.

    Attributes:
        messages: the page, in the order asked for; empty where none matches (D4).
        server_time: seconds since the epoch on the server's clock when it answered,
            to the second, rounded down; None where the answer did not tell.
    """

    messages: Sequence[Message]
    server_time: float | None


@frozen(kw_only=True)
class HistoryRequest:
    """Some of the messages of one millisecond, to fetch from the history endpoint.

    Attributes:
        device_id, type: as in the query.
        at: the millisecond.
        after_id, before_id: only messages with ids between the two, both exclusive, as
            hexadecimal text; None where open.
        size: messages at most, in any order.
    """

    device_id: str
    type: str
    at: int
    after_id: str | None
    before_id: str | None
    size: int


Fetch = Callable[[PageRequest], Awaitable[Fetched]]
"""Fetches one page; raises the library's errors, which a walk passes on unchanged."""

History = Callable[[HistoryRequest], Awaitable[Sequence[Message]]]
"""Fetches messages with their ids, for `WalkSettings.verify_ties`."""

Capacity = Callable[[], int | None]
"""How many requests at once the quota can feed at this moment; None for any number."""
