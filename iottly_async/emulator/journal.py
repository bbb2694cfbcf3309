"""What happened: every request that arrived, and every command that was executed.

A request is entered when it arrives and completed when it has been answered, so one that hangs is
seen too (its ``status`` is None). Keys and headers are never entered.
"""

import asyncio
from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qsl

import attrs

from .times import to_datetime


@attrs.define(kw_only=True)
class RequestRecord:
    """One request: its ``number`` (from 1), ``method``, ``path`` and ``query_string``, as sent.

    ``time`` is the server's, in epoch seconds. ``generation`` is ``v1.0`` or ``v1``, ``route`` the
    route's name; None where the path leads nowhere. ``authorized``: whether it had a key that is
    accepted; ``refused``: whether the rate limit turned it away; ``acted``: whether a handler ran
    (a command whose answer was lost was executed all the same). ``fault`` is the kind of the fault
    that struck it, or None; ``status`` the answer's, None while there is none. ``rows`` are the
    messages in the answer, ``skipped`` those that were passed over to reach the page.
    """

    number: int
    time: float
    method: str
    path: str
    query_string: str
    generation: str | None
    route: str | None
    authorized: bool = False
    refused: bool = False
    acted: bool = False
    fault: str | None = None
    status: int | None = None
    rows: int = 0
    skipped: int = 0

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of one that is given twice, the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def as_json(self) -> dict[str, Any]:
        """The record as it is given out at the control address."""
        return attrs.asdict(self) | {"query": self.query}


@attrs.frozen(kw_only=True)
class CommandRecord:
    """An executed command: its ``id``, and the ``body`` as it came.

    ``device_id`` is the device's id on v1.0, whichever ``generation`` it was sent by;
    ``timestamp`` is in epoch ms.
    """

    id: str
    generation: str
    device_id: str
    body: dict[str, Any]
    timestamp: int

    def as_json(self) -> dict[str, Any]:
        """The record as it is given out at the control address."""
        return attrs.asdict(self) | {"time": to_datetime(self.timestamp).isoformat()}


class Journal:
    """The records, oldest first; beyond ``limit`` requests the oldest are forgotten."""

    def __init__(self, limit: int) -> None:
        self.requests: deque[RequestRecord] = deque(maxlen=limit)
        self.commands: list[CommandRecord] = []
        self.arrived: Counter[str | None] = Counter()
        self._total = 0
        self._watchers: set[asyncio.Future[None]] = set()

    @property
    def total(self) -> int:
        """How many requests arrived, those included that are forgotten."""
        return self._total

    def enter(
        self,
        *,
        time: float,
        method: str,
        path: str,
        query_string: str,
        generation: str | None,
        route: str | None,
    ) -> RequestRecord:
        """Note a request that has just arrived, and wake who waits for it."""
        self._total += 1
        record = RequestRecord(
            number=self._total,
            time=time,
            method=method,
            path=path,
            query_string=query_string,
            generation=generation,
            route=route,
        )
        self.requests.append(record)
        self.arrived[route] += 1
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        return record

    def count(self, route: str | None = None) -> int:
        """How many requests arrived for a route, or in all."""
        return self._total if route is None else self.arrived[route]

    async def until(self, count: int, route: str | None = None) -> None:
        """Return once ``count`` requests have arrived (for this route, or in all)."""
        while self.count(route) < count:
            watcher = asyncio.get_running_loop().create_future()
            self._watchers.add(watcher)
            try:
                await watcher
            finally:
                self._watchers.discard(watcher)

    def forget_requests(self) -> None:
        """Empty the record of requests and its counts."""
        self.requests.clear()
        self.arrived.clear()
        self._total = 0
