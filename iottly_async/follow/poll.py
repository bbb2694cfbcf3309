"""One poll of one device: it yields new messages, and learns from them when the device sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from math import floor, inf
from typing import Final

import attrs

from ..clock import Clock
from ..models import Cursor, MessageBatch
from ..walk import Fetched, History, PageRequest, WalkQuery, WalkSettings, batches
from .timed_pages import TimedPages
from .traffic import Traffic
from .wakeups import WakeUps

_HISTORY_SIZE: Final = 20
"""Messages from which a device's rhythm is learned when following begins."""


@attrs.define(eq=False)
class FollowedDevice:
    """The state of one device that is followed.

    Attributes:
        query: of its messages, from where following began.
        cursor: after the messages that were yielded; None before the first poll.
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
    """

    pages: TimedPages
    history: History
    settings: WalkSettings
    clock: Clock
    deliver: Callable[[MessageBatch], Awaitable[None]]
    empty: bool

    async def server_now(self, device_id: str) -> int:
        """The server's present in milliseconds: never after it, and hardly before it."""
        request = PageRequest(
            device_id=device_id, start=None, end=None, type="all", order="desc", size=1, number=None
        )
        fetched = await self.pages.fetch(request)
        now = self.clock.time() if fetched.server_time is None else fetched.server_time
        return floor(now * 1000)

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
        """Learn a device's rhythm from its last messages; whether any are to be delivered."""
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
        messages = (await self.pages.fetch(request)).messages
        start = (query.start if device.cursor is None else device.cursor.pinned_end) or 0
        times = [message.timestamp.timestamp() for message in reversed(messages)]
        # Messages that are still to be delivered are observed when they are.
        device.traffic.observe(time for time in times if time * 1000 < start)
        device.traffic.seen_until = max(start / 1000, self.pages.server_time(device.polled_at))
        return bool(times) and times[-1] * 1000 >= start

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
            settings=self.settings,
            cursor=device.cursor,
            clock=self.clock,
            history=self.history,
        )
        async with aclosing(walk):
            async for batch in walk:
                if batch.messages:
                    device.traffic.observe(m.timestamp.timestamp() for m in batch.messages)
                    device.found += len(batch.messages)
                    device.newest = batch.messages[-1].timestamp.timestamp()
                if batch.messages or self.empty:
                    await self.deliver(batch)
                device.cursor = batch.cursor
        if device.cursor is not None:
            device.traffic.seen_until = device.cursor.pinned_end / 1000
        device.unsettled = newest if newest >= device.traffic.seen_until else None
