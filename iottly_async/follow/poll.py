"""One poll of one device: it yields new messages, and learns from them when the device sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from math import floor, inf
from typing import Final

import attrs

from ..clock import Clock
from ..models import Cursor, MessageBatch
from ..models.message_batch import rows_of
from ..models.row import MessageRow
from ..walk import Fetched, History, LookBackPart, PageRequest, WalkQuery, WalkSettings, batches
from .present import Present
from .timed_pages import TimedPages
from .traffic import Traffic
from .wakeups import WakeUps

_HISTORY_SIZE: Final = 20
"""Messages from which a device's rhythm is learned when following begins."""

_LAG_LASTS: Final = 0.8
"""So much of a device's lag is still expected after a poll that shows less of it."""

_FEW: Final = 0.5
"""So many messages, as a share of a page, are read again with every poll."""


@attrs.define(eq=False)
class FollowedDevice:
    """The state of one device that is followed.

    Attributes:
        query: of its messages, from where following began.
        cursor: after the messages that were yielded; None before the first poll.
        added: whether it was listed later than when following began.
        found_at: monotonic, when a poll last found messages.
        lag: seconds by which its recent messages became visible later than `settle` after their
            time, by the server's clock. It is not 0 if `Date` is ahead of the clock that
            stamps messages.
        traffic: when it sends.
        wakeups: from the doorbell, for it.
        polled_at: monotonic, when the last poll began.
        polling: whether a poll is under way.
        fresh: whether its rhythm is still to be learned.
        unsettled: the server's time of a message that was seen too early to be yielded;
            None if there was none.
        found: messages that the last poll yielded.
        newest: the server's time of the last of them.
    """

    query: WalkQuery
    cursor: Cursor | None
    traffic: Traffic
    wakeups: WakeUps
    added: bool = False
    found_at: float = -inf
    lag: float = 0.0
    polled_at: float = -inf
    polling: bool = False
    fresh: bool = True
    unsettled: float | None = None
    found: int = 0
    newest: float = -inf


@attrs.frozen(kw_only=True)
class Poller:
    """Polls devices, each by a walk from its cursor.

    Attributes:
        pages: where pages come from, with the server's time.
        history: where messages with ids come from, for walks that verify ties.
        settings: of the walks.
        clock: gives the time if an answer has none.
        deliver: takes a batch; returns once there is room for the next one.
        empty: whether a batch without messages is delivered too, for its cursor.
        present: from where devices are followed that have neither a cursor nor a start.
    """

    pages: TimedPages
    history: History
    settings: WalkSettings
    clock: Clock
    deliver: Callable[[MessageBatch], Awaitable[None]]
    empty: bool
    present: Present

    async def poll(self, device: FollowedDevice) -> None:
        """Deliver a device's new messages. The first poll learns its rhythm before.

        Raises:
            IottlyError: the device cannot be read. What was delivered before is unaffected.
        """
        device.found, device.newest = 0, -inf
        if device.fresh:
            has_new = await self._learn_rhythm(device)
            device.fresh = False
            if not has_new:
                return
        await self._read(device)

    async def _learn_rhythm(self, device: FollowedDevice) -> bool:
        """Learn a device's rhythm from its last messages; whether any are to be delivered.

        Without a start, those are that come after the last one, or after following began.
        """
        query = device.query
        request = PageRequest(
            device_id=query.device_id,
            start=None,
            end=None,
            type=query.type,
            order="desc",
            size=_HISTORY_SIZE,
            number=None,
        )
        fetched = await self.pages.fetch(request)
        messages = fetched.messages
        start = _undelivered(device.cursor) if device.cursor is not None else query.start
        if start is None:
            start = self._present(device, messages)
            device.query = attrs.evolve(query, start=start)
        times = [message.timestamp.timestamp() for message in reversed(messages)]
        # Messages that are still to be delivered are observed when they are.
        device.traffic.observe(time for time in times if time * 1000 < start)
        device.traffic.seen_until = max(start / 1000, self.pages.server_time(device.polled_at))
        return bool(fetched.bad_rows) or (bool(times) and times[-1] * 1000 >= start)

    def _present(self, device: FollowedDevice, messages: Sequence[MessageRow]) -> int:
        """From where a device without a start is followed; `messages` are its newest ones."""
        date = floor(self.pages.server_time(self.present.began_at) * 1000)
        if device.added:
            return self.present.added(date)
        newest = messages[0].at if messages else None
        return self.present.behind(newest, self.clock.monotonic(), date)

    def _looks_back(self, device: FollowedDevice) -> LookBackPart:
        """What of the lookback a poll reads again.

        All of it, unless that would cost further requests. Then what is old enough is read
        again for the first and last time, each time the lookback has passed; and the rest once
        no message has come for long.
        """
        cursor, settings = device.cursor, self.settings
        if cursor is None or len(cursor.recent) <= _FEW * settings.page_size:
            return "all"
        if cursor.newest is None or cursor.recent_from is None:
            return "all"
        if device.polled_at >= device.found_at + settings.latest:
            return "all"
        old = cursor.newest - cursor.recent_from - settings.latest * 1000
        return "old" if old >= settings.lookback * 1000 else "none"

    async def _read(self, device: FollowedDevice) -> None:
        """Deliver what is new."""
        newest = -inf

        async def fetch(request: PageRequest) -> Fetched:
            nonlocal newest
            fetched = await self.pages.fetch(request)
            if fetched.messages:
                newest = fetched.messages[-1].timestamp.timestamp()
            return fetched

        walk = batches(
            fetch,
            device.query,
            settings=attrs.evolve(self.settings, looks_back=self._looks_back(device)),
            cursor=device.cursor,
            clock=self.clock,
            history=self.history,
        )
        async with aclosing(walk):
            async for batch in walk:
                rows = rows_of(batch)
                if rows:
                    if not device.found:
                        device.lag = max(_lag(device.cursor, batch), _LAG_LASTS * device.lag)
                    device.traffic.observe(row.timestamp.timestamp() for row in rows)
                    device.found += len(rows)
                    device.newest = rows[-1].timestamp.timestamp()
                if rows or batch.rejected or self.empty:
                    await self.deliver(batch)
                device.cursor = batch.cursor
        if device.found:
            device.found_at = self.clock.monotonic()
        if device.cursor is not None:
            read_until = device.cursor.pinned_end / 1000
            device.traffic.seen_until = read_until - device.lag
            device.unsettled = newest if newest >= read_until else None


def _undelivered(cursor: Cursor) -> int:
    """The millisecond from which a cursor's device has messages that were not delivered."""
    if cursor.remaining:
        return cursor.remaining[0][0]
    if cursor.newest is not None:
        return min(cursor.newest + 1, cursor.pinned_end)
    return cursor.pinned_end if cursor.recent_from is None else cursor.recent_from


def _lag(cursor: Cursor | None, batch: MessageBatch) -> float:
    """By how many seconds a new message came later than the last poll should have found it."""
    if cursor is None or cursor.remaining:
        return 0.0
    known = -inf if cursor.newest is None else cursor.newest
    new = (row.at for row in rows_of(batch) if row.at > known)
    return max((cursor.pinned_end - next(new, cursor.pinned_end)) / 1000, 0.0)
