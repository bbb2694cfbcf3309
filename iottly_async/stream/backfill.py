"""Fills the gaps of a stream by REST walks, so that each message is yielded once.

A walk covers a little more than the gap. It starts `lookback` seconds before the gap, for
messages that became visible late (D11), and it waits until `settle` seconds after the gap,
so that the service has shown all that belongs into it. Messages that were yielded before
are dropped. Rows that are no messages are skipped, and logged. Failures of the service that
pass are waited out, for the stream's `patience`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from attrs import define, evolve

from ..clock import Clock
from ..models import Message, MessageBatch
from ..models._time import epoch_ms
from ..resources import Project
from ..server_clock import ServerClock
from ..walk import PageRequest, WalkQuery, batches
from .dedupe import SeenMessages
from .gap import BufferedGap
from .options import StreamOptions

_OPEN_END: Final = timedelta(days=3650)
"""How far a gap is read beyond its end, if messages far ahead are to be found."""

_SETTLED: Final = -2 * _OPEN_END.total_seconds()
"""The `settle` of a backfill's walk, in seconds. The backfill has waited already, and its end
may be later than `Date` says, if the service's clocks differ (D11)."""

_MARGIN: Final = timedelta(seconds=1)


@define
class BackfillInterval:
    """The interval of one device that is read for a gap.

    Attributes:
        query: the device and what is still to be read.
        overlap_from: the stream may bring the same messages later from this time on.
    """

    query: WalkQuery
    overlap_from: datetime


class Backfill:
    """Reads the messages that a stream has missed.

    Attributes:
        seen: remembers what was yielded. Messages of the stream are added to it, too.

    Args:
        project: the project whose messages are read.
        options: the stream's options.
        patience: seconds for which failures that pass are waited out.
        clock: the time.
        pause: waits for a number of seconds; raises if the session is closed.
    """

    def __init__(
        self,
        project: Project,
        options: StreamOptions,
        *,
        patience: float,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._project = project
        self._devices = options.devices
        self._type = options.type
        self._settle = options.settle
        lookback = options.settle if options.lookback is None else options.lookback
        self._lookback = timedelta(seconds=lookback)
        self._clock = clock
        self._pause = pause
        self._patience = patience
        self._fetch = partial(project.messages.fetch, patience=patience)
        self._history = partial(project.messages.history, patience=patience)
        self.seen = SeenMessages(self._lookback)

    async def intervals(self, gap: BufferedGap) -> deque[BackfillInterval]:
        """Wait until a gap can be read; return its intervals, one a device."""
        ready_at = gap.reported_at + self._settle
        await self._pause(max(ready_at - self._clock.monotonic(), 0.0))
        devices = await self._list_devices()
        if not devices:
            return deque()
        end = gap.read_until or gap.gap.end
        if end is None:
            end = await self._server_now(devices[0])
        start = end if gap.gap.start is None else min(gap.gap.start, end)
        start -= self._lookback
        # Everything before the gap was yielded, so older messages need not be remembered.
        self.seen.forget_before(start - _MARGIN)
        start = max(start, self.seen.floor or start)
        start_ms = epoch_ms(start)
        end_ms = epoch_ms(end + _OPEN_END if gap.open_ended else end) + 1
        return deque(
            BackfillInterval(
                WalkQuery(
                    project_id=self._project.id,
                    device_id=device_id,
                    type=self._type,
                    start=start_ms,
                    end=end_ms,
                ),
                # A message that became visible near the gap's end may also come by the stream.
                overlap_from=gap.overlap_from or end,
            )
            for device_id in devices
        )

    def walk(self, interval: BackfillInterval) -> AsyncGenerator[MessageBatch, None]:
        """Walk over what is still to be read of an interval."""
        settings = evolve(self._project.messages.settings(on_bad_row="skip"), settle=_SETTLED)
        return batches(
            self._fetch,
            interval.query,
            settings=settings,
            clock=self._clock,
            history=self._history,
        )

    async def _list_devices(self) -> Sequence[str]:
        """The devices that the stream subscribed to, or all devices of the project."""
        if self._devices is not None:
            return self._devices
        devices = await self._project.devices.list(patience=self._patience)
        return [device.id for device in devices]

    async def _server_now(self, device_id: str) -> datetime:
        """The latest that the server's present can be, by the `Date` of a page."""
        request = PageRequest(
            device_id=device_id, start=None, end=None, type="all", order="desc", size=1, number=None
        )
        server_clock, sent = ServerClock(), self._clock.monotonic()
        fetched = await self._fetch(request)
        received = self._clock.monotonic()
        server_clock.observe_date(fetched.server_time, sent, received)
        return datetime.fromtimestamp(server_clock.latest(received, self._clock.time()), tz=UTC)


class BackfillRun:
    """The backfill of one gap.

    `next` may be cancelled at any moment; a later call continues without loss.

    Args:
        backfill: does the requests.
        gap: the gap to fill.
    """

    def __init__(self, backfill: Backfill, gap: BufferedGap) -> None:
        self._backfill = backfill
        self._gap = gap
        self._intervals: deque[BackfillInterval] | None = None
        self._walk: AsyncGenerator[MessageBatch, None] | None = None
        self._ready: deque[Message] = deque()

    async def next(self) -> Message | None:
        """The next missing message, device by device and in order of time; None at the end."""
        while not self._ready:
            if self._intervals is None:
                self._intervals = await self._backfill.intervals(self._gap)
            elif not self._intervals:
                return None
            else:
                await self._read_batch(self._intervals)
        return self._ready.popleft()

    async def _read_batch(self, intervals: deque[BackfillInterval]) -> None:
        interval = intervals[0]
        # The walk is not kept while it is awaited: if it fails or is cancelled, a new one
        # starts where this one was.
        walk, self._walk = self._walk or self._backfill.walk(interval), None
        batch = await anext(walk, None)
        if batch is None:
            intervals.popleft()
            return
        self._walk = walk
        # Not the cursor: its end may be later than `Date` says, and would be refused.
        interval.query = evolve(interval.query, start=epoch_ms(batch.cursor.done))
        new = self._backfill.seen.add_walked(batch.messages, interval.overlap_from)
        self._ready.extend(new)

    async def aclose_walk(self) -> None:
        """Close the open walk, if any; a later `next` starts another at the same position."""
        walk, self._walk = self._walk, None
        if walk is not None:
            await walk.aclose()
