"""Filling a stream's gaps from the REST walk, so that each message is handed out once.

A gap is walked a little wider than it is: from `lookback` before it, for messages that
became visible late (D11), and once the service has had `settle` seconds to show what it
would have sent. What was handed out already is told by the messages' digests, counted,
so that identical messages come as often as they are.

The one thing that counting cannot tell: two identical messages of one millisecond, of
which one fell into the gap and the other came by the stream after it, and later than the
walk. They are taken for one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final, Protocol, TypeVar

from ..clock import Clock
from ..config import RetryPolicy
from ..errors import IottlyError
from ..models import Cursor, Message
from ..models._time import epoch_ms
from ..walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches
from .buffer import Hole
from .reconnect import delay, is_passing

_T = TypeVar("_T")

_log = logging.getLogger("iottly_async")

_SURE: Final = -2.0
"""As a walk's settle time: its end lies in the past, whatever a Date of whole seconds says."""


class MessageSource(Protocol):
    """What is needed of `project.messages`."""

    async def fetch(self, request: PageRequest) -> Fetched:
        """One page."""
        ...

    def query(self, device_id: str) -> WalkQuery:
        """All of a device's messages."""
        ...

    def settings(self) -> WalkSettings:
        """How to walk."""
        ...


class _Copies:
    """How many copies of one message came by the stream, and how many were handed out."""

    __slots__ = ("at", "came", "handed")

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.came = 0
        self.handed = 0


class Filler:
    """Knows what was handed out of late, and reads what was not.

    Args:
        source: of the project's messages.
        devices: the ids of the devices whose gaps are filled, asked for at every gap.
        type: of messages, as the stream's.
        settle: seconds after a gap's end before it is read.
        lookback: seconds before a gap from which on it is read.
        pause: waits; ends with an error when the session closes.
        policy: how long to wait after a failure of the service.
    """

    def __init__(
        self,
        source: MessageSource,
        devices: Callable[[], Awaitable[Sequence[str]]],
        *,
        type: str,  # noqa: A002 - the API's own name
        settle: float,
        lookback: float,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
        policy: RetryPolicy,
    ) -> None:
        self._source = source
        self._devices = devices
        self._type = type
        self._settle = settle
        self._lookback = timedelta(seconds=lookback)
        self._clock = clock
        self._pause = pause
        self._policy = policy
        self._copies: dict[str, _Copies] = {}
        self._floor: datetime | None = None

    def is_new(self, message: Message) -> bool:
        """Whether a message that came by the stream is to be handed out; notes that it is."""
        at = message.timestamp
        copies = self._copies.get(message.digest)
        if copies is None:
            if self._floor is not None and at < self._floor:
                return True  # older than any walk will reach back: it comes by the stream alone
            copies = self._copies[message.digest] = _Copies(at)
            self._forget(at - self._lookback)
        copies.came += 1
        if copies.came <= copies.handed:
            return False
        copies.handed += 1
        return True

    async def fill(self, hole: Hole) -> AsyncGenerator[Message, None]:
        """The messages of a gap that were not handed out, device by device in order."""
        ready = hole.since + self._settle
        await self._pause(max(ready - self._clock.monotonic(), 0.0))
        devices = await self._patiently(self._devices)
        if not devices:
            return
        end = hole.gap.end
        if end is None:
            end = await self._patiently(lambda: self._present(devices[0]))
        start = end if hole.gap.start is None else min(hole.gap.start, end)
        start -= self._lookback
        # All that came before the gap was handed out: what lies further back is done with.
        self._forget(start)
        start = start if self._floor is None else max(start, self._floor)
        for device_id in devices:
            messages = self._missing(device_id, start, end)
            async with aclosing(messages):
                async for message in messages:
                    yield message

    async def _missing(
        self, device_id: str, start: datetime, end: datetime
    ) -> AsyncGenerator[Message, None]:
        # Of these the stream may still bring copies, as they became visible near its end.
        doubtful = end - self._lookback
        whole = self._source.query(device_id)
        query = WalkQuery(
            project_id=whole.project_id,
            device_id=device_id,
            type=self._type,
            start=epoch_ms(start),
            end=epoch_ms(end) + 1,
        )
        page_size = self._source.settings().page_size
        settings = WalkSettings(page_size=page_size, settle=_SURE)
        cursor: Cursor | None = None
        failures = 0
        while True:
            walk = batches(
                self._source.fetch, query, settings=settings, cursor=cursor, clock=self._clock
            )
            try:
                async with aclosing(walk):
                    async for batch in walk:
                        for message in self._unseen(batch.messages, doubtful):
                            yield message
                        cursor, failures = batch.cursor, 0
            except IottlyError as error:
                failures = await self._after(error, failures)
            else:
                return

    def _unseen(self, messages: Sequence[Message], doubtful: datetime) -> list[Message]:
        """Those of whole milliseconds that were not handed out yet; notes the doubtful ones."""
        found: Counter[str] = Counter()
        unseen: list[Message] = []
        for message in messages:
            digest = message.digest
            found[digest] += 1
            copies = self._copies.get(digest)
            if copies is None:
                copies = _Copies(message.timestamp)
                if message.timestamp >= doubtful:
                    self._copies[digest] = copies
            if found[digest] > copies.handed:
                unseen.append(message)
                copies.handed = found[digest]
        return unseen

    def _forget(self, floor: datetime) -> None:
        """Forget what lies before `floor`: no walk will read it again."""
        if self._floor is not None and floor <= self._floor:
            return
        self._floor = floor
        while self._copies:
            oldest = next(iter(self._copies))
            if self._copies[oldest].at >= floor:
                return
            del self._copies[oldest]

    async def _present(self, device_id: str) -> datetime:
        """A moment not before the server's now."""
        request = PageRequest(
            device_id=device_id, start=None, end=None, type="all", order="desc", size=1, number=None
        )
        fetched = await self._source.fetch(request)
        now = fetched.server_time
        seconds = self._clock.time() if now is None else now
        return datetime.fromtimestamp(ceil(seconds) + 1, tz=UTC)

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        failures = 0
        while True:
            try:
                return await ask()
            except IottlyError as error:
                failures = await self._after(error, failures)

    async def _after(self, error: IottlyError, failures: int) -> int:
        """Wait after a failure that may pass; any other is raised."""
        if not is_passing(error):
            raise error
        seconds = delay(failures, self._policy, self._clock.random(), retry_after=error.retry_after)
        _log.warning("a gap of the stream is not filled yet (%s); again in %.1f s", error, seconds)
        await self._pause(seconds)
        return failures + 1
