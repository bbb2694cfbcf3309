"""What a walk is asked for, and what it asks of the pages' source.

Times in this room are whole milliseconds since the epoch, as the service counts them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from ..models.cursor import Order
from ..models.message import Message


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
        short_page: the size that a server may cut pages to, whatever was asked for. A
            page of exactly this length is not taken for the last one until another
            request has shown that it is. Default 50, the service's own default.
    """

    page_size: int = 100
    settle: float = 5.0
    short_page: int = 50


@frozen(kw_only=True)
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


@frozen(kw_only=True)
class Fetched:
    """What came of a `PageRequest`.

    Attributes:
        messages: the page, in the order asked for; empty where none matches (D4).
        server_time: seconds since the epoch on the server's clock when it answered,
            to the second, rounded down; None where the answer did not tell.
    """

    messages: Sequence[Message]
    server_time: float | None


Fetch = Callable[[PageRequest], Awaitable[Fetched]]
"""Fetches one page; raises the library's errors, which a walk passes on unchanged."""
