"""BackfillRun a stream's gaps from the REST walk, so that each message is handed out once.

A gap is walked a little wider than it is: from `lookback` before it, for messages that
became visible late (D11), and once the service has had `settle` seconds to show what it
would have sent. What was handed out already is left out.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final, Protocol, TypeVar

from attrs import define, evolve

from ..clock import Clock
from ..config import RetryPolicy
from ..errors import IottlyError
from ..models import Cursor, Message, MessageBatch
from ..models._time import epoch_ms
from ..retry import is_passing, retry_delay
from ..walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches
from .buffer import BufferedGap
from .dedupe import SeenMessages

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


@define
class BackfillInterval:
    """Of one device, what is read for a gap.

    Attributes:
        query: from where to where.
        doubtful: of messages from then on the stream may bring copies later.
        cursor: up to where it was read; None: not begun.
        failures: of the service, in a row.
    """

    query: WalkQuery
    doubtful: datetime
    cursor: Cursor | None = None
    failures: int = 0


class Backfill:
    """Reads what was not handed out.

    Attributes:
        handed: what was handed out of late; told of what comes by the stream, too.

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
        self.handed = SeenMessages(self._lookback)

    def fill(self, hole: BufferedGap) -> BackfillRun:
        """What reads the messages of a gap that were not handed out."""
        return BackfillRun(self, hole)

    async def stretches(self, hole: BufferedGap) -> deque[BackfillInterval]:
        """What is to be read for a gap, device by device, once the service can show all of it."""
        ready = hole.since + self._settle
        await self._pause(max(ready - self._clock.monotonic(), 0.0))
        devices = await self._patiently(self._devices)
        if not devices:
            return deque()
        end = hole.gap.end
        if end is None:
            end = await self._patiently(lambda: self._present(devices[0]))
        start = end if hole.gap.start is None else min(hole.gap.start, end)
        start -= self._lookback
        # All that came before the gap was handed out: what lies further back is done with.
        self.handed.forget(start)
        start = max(start, self.handed.floor or start)
        project_id = self._source.query(devices[0]).project_id
        low, high = epoch_ms(start), epoch_ms(end) + 1
        # Of the last ones the stream may still bring copies, as they became visible near its end.
        return deque(
            BackfillInterval(
                WalkQuery(
                    project_id=project_id,
                    device_id=device_id,
                    type=self._type,
                    start=low,
                    end=high,
                ),
                doubtful=end - self._lookback,
            )
            for device_id in devices
        )

    def walk(self, stretch: BackfillInterval) -> AsyncGenerator[MessageBatch, None]:
        """The messages of a stretch, from where it was read to."""
        settings = evolve(self._source.settings(), settle=_SURE)
        return batches(
            self._source.fetch,
            stretch.query,
            settings=settings,
            cursor=stretch.cursor,
            clock=self._clock,
        )

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
                failures = await self.after(error, failures)

    async def after(self, error: IottlyError, failures: int) -> int:
        """Wait after a failure that may pass; any other is raised."""
        if not is_passing(error):
            raise error
        failures += 1
        seconds = retry_delay(
            failures, self._policy, self._clock.random, retry_after=error.retry_after
        )
        _log.warning("a gap of the stream is not filled yet (%s); again in %.1f s", error, seconds)
        await self._pause(seconds)
        return failures


class BackfillRun:
    """The reading of one gap. It may be cancelled at any moment, and goes on where it was."""

    def __init__(self, filler: Backfill, hole: BufferedGap) -> None:
        self._filler = filler
        self._hole = hole
        self._stretches: deque[BackfillInterval] | None = None
        self._walk: AsyncGenerator[MessageBatch, None] | None = None
        self._ready: deque[Message] = deque()

    async def next(self) -> Message | None:
        """The next message that was not handed out, device by device in order; None at the end."""
        while not self._ready:
            if self._stretches is None:
                self._stretches = await self._filler.stretches(self._hole)
            elif not self._stretches:
                return None
            else:
                await self._read_on(self._stretches)
        return self._ready.popleft()

    async def _read_on(self, stretches: deque[BackfillInterval]) -> None:
        stretch = stretches[0]
        # Not kept while it is awaited: what is cancelled, or fails, is begun anew.
        walk, self._walk = self._walk or self._filler.walk(stretch), None
        try:
            batch = await anext(walk, None)
        except IottlyError as error:
            stretch.failures = await self._filler.after(error, stretch.failures)
            return
        if batch is None:
            stretches.popleft()
            return
        self._walk, stretch.cursor, stretch.failures = walk, batch.cursor, 0
        self._ready.extend(self._filler.handed.unseen(batch.messages, stretch.doubtful))

    async def pause(self) -> None:
        """Leave nothing open; `next` goes on all the same."""
        walk, self._walk = self._walk, None
        if walk is not None:
            await walk.aclose()
