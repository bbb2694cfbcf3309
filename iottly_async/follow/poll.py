"""One look at one device: what is new is handed out, and what it tells of its traffic is kept."""

from __future__ import annotations

from contextlib import aclosing
from math import floor, inf
from typing import Final

import attrs

from ..aio.channel import Channel
from ..clock import Clock
from ..models import Cursor, MessageBatch
from ..walk import Fetched, PageRequest, WalkQuery, batches
from .plan import FollowPlan
from .server_time import ServerTime
from .traffic import Traffic
from .wakeups import WakeUps

_TO_KNOW: Final = 20
"""Messages from which a device's rhythm is learned when following begins."""


@attrs.define(eq=False)
class FollowedDevice:
    """One device that is followed.

    Attributes:
        query: from where following began.
        cursor: behind what was handed out; None before the first look.
        traffic: when it sends.
        looked_at: monotonic, when the last look began.
        rings: of the doorbell, for it.
        busy: whether it is being looked at.
        new: whether nothing is known of it yet.
        unsettled: the server's time of a message that was seen too early to be handed out.
        brought: messages that the last look handed out.
        newest: the server's time of the last of them.
        failures: of looks, in a row.
    """

    query: WalkQuery
    cursor: Cursor | None
    traffic: Traffic
    rings: WakeUps
    looked_at: float = -inf
    busy: bool = False
    new: bool = True
    unsettled: float | None = None
    brought: int = 0
    newest: float = -inf
    failures: int = 0


class Poller:
    """Looks at devices, one at a time each, and hands on what it finds."""

    def __init__(
        self, plan: FollowPlan, now: ServerTime, clock: Clock, found: Channel[MessageBatch]
    ) -> None:
        self._plan = plan
        self._now = now
        self._clock = clock
        self._found = found

    async def present(self, device_id: str) -> int:
        """The server's present, in milliseconds: not after it, and hardly before."""
        request = PageRequest(
            device_id=device_id, start=None, end=None, type="all", order="desc", size=1, number=None
        )
        fetched = await self._now.fetch(request)
        now = self._clock.time() if fetched.server_time is None else fetched.server_time
        return floor(now * 1000)

    async def look(self, device: FollowedDevice) -> None:
        """Hand out what is new of a device; the first time, learn its rhythm before.

        Raises:
            IottlyError: the service failed; what was handed out before is unaffected.
        """
        device.brought, device.newest = 0, -inf
        if device.new:
            await self._get_to_know(device)
        if not device.new:
            await self._read(device)
        device.new = False

    async def _get_to_know(self, device: FollowedDevice) -> None:
        """Learn a device's rhythm from its last messages; whether there are any to hand out."""
        query = device.query
        request = PageRequest(
            device_id=query.device_id,
            start=None,
            end=None,
            type=query.type,
            order="desc",
            size=_TO_KNOW,
            number=None,
        )
        messages = (await self._now.fetch(request)).messages
        done = (query.start if device.cursor is None else device.cursor.pinned_end) or 0
        times = [message.timestamp.timestamp() for message in reversed(messages)]
        # Of a message that is still to be handed out its traffic is told when it is.
        device.traffic.sent(time for time in times if time * 1000 < done)
        device.traffic.seen_until = max(done / 1000, self._now.at(device.looked_at))
        device.new = not times or times[-1] * 1000 < done

    async def _read(self, device: FollowedDevice) -> None:
        """Hand out what is new."""
        plan = self._plan
        newest = -inf

        async def fetch(request: PageRequest) -> Fetched:
            nonlocal newest
            fetched = await self._now.fetch(request)
            if fetched.messages:
                newest = fetched.messages[-1].timestamp.timestamp()
            return fetched

        walk = batches(
            fetch,
            device.query,
            settings=plan.settings,
            cursor=device.cursor,
            clock=self._clock,
            history=plan.history,
        )
        async with aclosing(walk):
            async for batch in walk:
                if batch.messages:
                    device.traffic.sent(m.timestamp.timestamp() for m in batch.messages)
                    device.brought += len(batch.messages)
                    device.newest = batch.messages[-1].timestamp.timestamp()
                if batch.messages or plan.empty:
                    await self._found.put(batch)
                device.cursor = batch.cursor
        if device.cursor is not None:
            device.traffic.seen_until = device.cursor.pinned_end / 1000
        device.unsettled = newest if newest >= device.traffic.seen_until else None
