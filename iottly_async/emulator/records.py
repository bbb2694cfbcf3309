"""What happened: the requests that arrived and the commands that were accepted.

A request is recorded when it arrives and completed when it is answered, so a request that hangs is
recorded too (its ``status`` is None). API keys and headers are never recorded.
"""

from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qsl

import attrs

from .aio import Signal
from .times import to_datetime


@attrs.define(kw_only=True)
class RequestRecord:
    """One request to the API, and how it was answered.

    Attributes:
        time: When it arrived, in epoch seconds of the server's clock.
        method: The HTTP method, such as ``GET``.
        path: The path as sent, percent-encoded.
        query_string: The query string as sent, percent-encoded.
        generation: ``v1.0`` or ``v1``; None if the path belongs to neither.
        route: The route's name, such as ``paginated``; None if no route matches.
        number: The request's number, counted from 1.
        authorized: Whether it carried an accepted API key.
        refused: Whether the rate limit refused it.
        handled: Whether a handler ran. A command whose answer was lost was executed all the same.
        fault: The kind of the fault that was injected; None if there was none.
        status: The status of the answer; None while there is no answer, and after a reset.
        rows: How many messages the answer held.
        skipped: How many messages the server passed over to reach the page.
    """

    time: float
    method: str
    path: str
    query_string: str
    generation: str | None
    route: str | None
    number: int = 0
    authorized: bool = False
    refused: bool = False
    handled: bool = False
    fault: str | None = None
    status: int | None = None
    rows: int = 0
    skipped: int = 0

    @property
    def query(self) -> dict[str, str]:
        """The query parameters, decoded; of a parameter given twice, the last value."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def as_json(self) -> dict[str, Any]:
        """The record as the control address shows it.

        Returns:
            The attributes and ``query``, all of them JSON values.
        """
        return attrs.asdict(self) | {"query": self.query}


@attrs.frozen(kw_only=True)
class CommandRecord:
    """A command that was accepted for a device.

    Attributes:
        id: The command's id.
        generation: The generation that it was sent by, ``v1.0`` or ``v1``.
        device_id: The device's id on v1.0, whichever generation the command was sent by.
        body: The request's body, decoded.
        timestamp: When it was accepted, in epoch milliseconds of the server's clock.
        message: What the device gets on v1.0: the declared defaults with the command's values in
            them. None on v1.
        delivered: Whether the device was connected, so that it got the command.
    """

    id: str
    generation: str
    device_id: str
    body: dict[str, Any]
    timestamp: int
    message: dict[str, Any] | None
    delivered: bool

    def as_json(self) -> dict[str, Any]:
        """The record as the control address shows it.

        Returns:
            The attributes and ``time`` (ISO text with a timezone), all of them JSON values.
        """
        return attrs.asdict(self) | {"time": to_datetime(self.timestamp).isoformat()}


class Records:
    """All records, oldest first; only the newest ``limit`` requests are kept."""

    def __init__(self, limit: int) -> None:
        self.requests: deque[RequestRecord] = deque(maxlen=limit)
        self.commands: list[CommandRecord] = []
        self.total = 0
        self._by_route: Counter[str | None] = Counter()
        self._arrived = Signal()

    def add_request(self, record: RequestRecord) -> None:
        """Number a request that has just arrived and keep it."""
        self.total += 1
        record.number = self.total
        self.requests.append(record)
        self._by_route[record.route] += 1
        self._arrived.send()

    async def until_requests(self, count: int, route: str | None = None) -> None:
        """Return once ``count`` requests have arrived (for ``route``; None: in all)."""
        await self._arrived.until(
            lambda: (self.total if route is None else self._by_route[route]) >= count
        )

    def forget_requests(self) -> None:
        """Delete the request records and start counting from 1 again."""
        self.requests.clear()
        self._by_route.clear()
        self.total = 0
