"""Follower devices by walks: who is looked at next, and what comes of it.

One task decides, a few look, and the consumer takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from math import inf
from typing import Any, Final

import attrs

from ..aio.channel import Channel
from ..clock import Clock
from ..config import RetryPolicy
from ..errors import ConfigurationError, IottlyError
from ..models import MessageBatch, Quota
from ..retry import is_passing, retry_delay
from .doorbell import is_doorbell, listen
from .pace import Pace
from .plan import FollowPlan
from .poll import FollowedDevice, Poller
from .schedule import Kind, Schedule
from .server_time import ServerTime
from .traffic import Rhythm, Traffic
from .wakeups import WakeUps

Hold = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]

_log = logging.getLogger("iottly_async")

_REFRESH: Final = 300.0
_PARTS: Final = 20.0
"""Where the quota is scarce, a part of a round of all devices is as near as a goal can be."""

_ROUNDS: Final[Mapping[Rhythm, float]] = {"unknown": 0.4, "steady": 3.0, "none": 3.0}
"""Rounds of all devices after which one is looked at whatever is thought of it; chosen by
`python -m benchmarks live --part policy`."""


class Follower:
    """Carries one `FollowPlan` out."""

    def __init__(
        self, plan: FollowPlan, *, clock: Clock, quota: Callable[[], Quota], policy: RetryPolicy
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._quota = quota
        self._policy = policy
        self._now = ServerTime(plan.fetch, clock, settle=plan.settings.settle)
        self._pace = Pace(plan.share)
        self._turns: Schedule[FollowedDevice] = Schedule()
        self._devices: dict[str, FollowedDevice] = {}
        self._found: Channel[MessageBatch] = Channel(plan.concurrency)
        self._reader = Poller(plan, self._now, clock, self._found)
        self._slots = asyncio.Semaphore(plan.concurrency)
        self._start: int | None = plan.start
        self._tasks: set[asyncio.Task[None]] = set()

    async def batches(self, hold: Hold) -> AsyncGenerator[MessageBatch, None]:
        """Batches as they are found; `hold` ends the work when the session closes."""
        self._spawn(hold(self._decide))
        if self._plan.doorbell is not None:
            bell = asyncio.ensure_future(listen(self._plan.doorbell, self._ring))
            self._tasks.add(bell)
            bell.add_done_callback(self._bell_ended)
        try:
            while True:
                yield await self._found.get()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._found.fail(error)

    def _bell_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("the doorbell failed, following goes on by polling: %r", error)

    def _ring(self, device_id: str | None) -> None:
        """There may be news: look as soon as they can be handed out."""
        now = self._clock.monotonic()
        if device_id is None and len(self._devices) > 1:
            # All at once: soon, but at the pace that the quota allows.
            for device in self._devices.values():
                if not device.busy:
                    self._turns.put(device, now + self._plan.settings.settle, "likely")
            return
        for each in self._devices if device_id is None else (device_id,):
            if (rung := self._devices.get(each)) is not None:
                rung.rings.ring(now)
                self._answer(rung)

    def _answer(self, device: FollowedDevice) -> None:
        """Let a device that was rung for have its turn."""
        if not device.busy and (due := device.rings.due) is not None:
            self._turns.put(device, due, "rung")

    async def _decide(self) -> None:
        """Give turns, without end."""
        await self._enlist()
        refresh_at = inf if self._plan.fixed else self._clock.monotonic() + _REFRESH
        while True:
            await self._slots.acquire()
            device, kind = await self._next(refresh_at)
            now = self._clock.monotonic()
            self._pace.spent(now, rung=kind == "rung")
            if device is None:
                refresh_at = now + _REFRESH
                self._spawn(self._enlist()).add_done_callback(self._free)
            else:
                device.busy, device.looked_at = True, now
                device.rings.begin(now)
                self._spawn(self._look(device)).add_done_callback(self._free)

    def _free(self, _: asyncio.Task[None]) -> None:
        self._slots.release()

    async def _next(self, refresh_at: float) -> tuple[FollowedDevice | None, Kind]:
        """The device whose turn it is, once it is; None when the devices are to be listed."""
        while True:
            now = self._clock.monotonic()
            if now >= refresh_at:
                return None, "guard"
            rung = self._turns.first("rung")
            if rung <= now:
                # A ring is worth a request as soon as it comes; the others keep the pace.
                return self._turns.take("rung"), "rung"
            kind, due = self._ordinary(now)
            if due <= now:
                due = self._pace.next_at(self._quota(), now, self._clock.time())
                if due <= now:
                    return self._turns.take(kind), kind
            await self._turns.changed(min(due, rung, refresh_at) - now)

    def _ordinary(self, now: float) -> tuple[Kind, float]:
        """The next turn that nobody rang for, and when it may be taken."""
        likely, guard = self._turns.first("likely"), self._turns.first("guard")
        if min(likely, guard) <= now or guard == inf:
            return ("likely", likely) if likely <= guard else ("guard", guard)
        # What the quota has left over goes to who was not looked at for longest.
        spare = self._turns.next("guard").looked_at + self._plan.slowest
        return ("likely", likely) if likely <= spare else ("guard", spare)

    async def _enlist(self) -> None:
        """Take in the devices that are there now and were not before."""
        failures = 0
        while True:
            try:
                ids = await self._plan.devices()
                if self._start is None and ids:
                    self._start = await self._reader.present(ids[0])
            except IottlyError as error:
                if not is_passing(error):
                    raise
                failures += 1
                await self._clock.sleep(self._after(error, failures, "the devices"))
            else:
                break
        now = self._clock.monotonic()
        for device_id in ids:
            if device_id not in self._devices:
                self._devices[device_id] = device = self._device(device_id)
                self._turns.put(device, now, "likely")

    def _device(self, device_id: str) -> FollowedDevice:
        cursor = self._plan.cursors.get(device_id)
        query = self._plan.query(device_id)
        if cursor is None:
            query = attrs.evolve(query, start=self._start)
        begun = self._now.at(self._clock.monotonic())
        return FollowedDevice(
            query, cursor, Traffic(begun, self._plan.fastest), WakeUps(self._plan.settings.settle)
        )

    async def _look(self, device: FollowedDevice) -> None:
        """Hand out what is new, and give the device its next turn."""
        again: float | None = None
        try:
            await self._reader.look(device)
        except IottlyError as error:
            if not is_passing(error):
                raise
            device.failures += 1
            again = self._after(error, device.failures, f"device {device.query.device_id}")
        else:
            device.failures = 0
        now = self._clock.monotonic()
        device.busy = False
        device.rings.ended(
            now,
            doubt=self._now.doubt,
            brought=device.brought,
            newest=self._now.when(device.newest),
        )
        if again is not None:
            self._turns.put(device, now + again, "likely")
        else:
            self._give_turns(device)
        self._answer(device)

    def _give_turns(self, device: FollowedDevice) -> None:
        """When to look again: when it is likely to have sent, and in any case in a while."""
        plan = self._plan
        round_ = self._pace.round(self._quota(), len(self._devices))
        goal = max(plan.goal, round_ / _PARTS)
        sent = device.traffic.due(goal) if device.unsettled is None else device.unsettled
        likely = self._now.when(sent) + plan.settings.settle
        likely = max(likely, device.looked_at + plan.fastest)
        self._turns.put(device, likely, "likely")
        rhythm = device.traffic.rhythm
        guard = max(plan.slowest, _ROUNDS[rhythm] * round_)
        if rhythm == "steady" and round_:
            # Spread evenly over its pause: a look shortly before its time would be wasted.
            pause = likely - device.looked_at
            guard = max(guard, pause / max(1.0, pause // guard))
        self._turns.put(device, device.looked_at + guard, "guard")

    def _after(self, error: IottlyError, failures: int, what: str) -> float:
        seconds = retry_delay(
            failures, self._policy, self._clock.random, retry_after=error.retry_after
        )
        _log.warning("following %s failed (%s); again in %.1f s", what, error, seconds)
        return seconds


def follow(
    plan: FollowPlan,
    *,
    clock: Clock,
    quota: Callable[[], Quota],
    policy: RetryPolicy,
    hold: Hold,
) -> AsyncGenerator[MessageBatch, None]:
    """Carry `plan` out.

    Args:
        plan: checked.
        clock: time and chance.
        quota: what is left, at this moment.
        policy: how long to wait after a failure.
        hold: ends what it is given when the session closes.

    Raises:
        ConfigurationError: the plan's doorbell is none.
    """
    if plan.doorbell is not None and not is_doorbell(plan.doorbell):
        raise ConfigurationError(
            "doorbell must be async-iterable, awaitable, or a callable that returns an awaitable, "
            f"not {type(plan.doorbell).__name__}"
        )
    return Follower(plan, clock=clock, quota=quota, policy=policy).batches(hold)
