"""The tasks that follow devices: one schedules, a few poll, and the consumer takes batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from math import inf
from typing import Any, Final

import attrs

from ..aio.channel import Channel
from ..aio.tasks import TaskGroup, cancel_and_wait
from ..clock import Clock
from ..errors import (
    EVERY_DEVICE,
    ConfigurationError,
    DeviceFailure,
    DevicesFailedError,
    ForbiddenError,
    IottlyError,
)
from ..models import Cursor, MessageBatch, Quota
from ..walk import Fetch, History, WalkQuery, WalkSettings
from .budget import PollBudget
from .doorbell import is_doorbell, listen
from .pace import FollowPace
from .poll import FollowedDevice, Poller
from .present import Present
from .schedule import Reason, Schedule
from .timed_pages import TimedPages
from .traffic import Rhythm, Traffic
from .wakeups import WakeUps

Hold = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]

_log = logging.getLogger("iottly_async.follow")

_LIST_AGAIN: Final = 300.0
"""Seconds after which the project's devices are listed again."""

_GOAL_PARTS: Final = 20.0
"""At a scarce quota the goal is at least this part of the time that polls of all devices take."""

_ROUNDS: Final[Mapping[Rhythm, float]] = {"irregular": 0.4, "steady": 3.0, "silent": 3.0}
"""Times that polls of all devices take, after which a device is polled in any case. They are
chosen by `python -m benchmarks live --part policy`."""


@attrs.define(kw_only=True, eq=False)
class Follower:
    """Follows devices: polls each again and again, and yields what is new.

    Failures of the service that pass are waited out by `fetch` and `list_devices`. Any other
    error of a device ends that device: it is given up.

    Attributes:
        list_devices: gives the ids of the devices to follow.
        refresh: whether the devices are listed again every five minutes.
        query: gives the query of all messages of a device.
        start: milliseconds since the epoch from which messages are wanted, of devices
            without a cursor. None is the present when following begins.
        cursors: where to resume, by device id.
        settings: of the walks.
        doorbell: wakes the follower; None if there is none.
        pace: how often devices are polled.
        concurrency: polls at once, at most.
        empty: whether a poll without messages yields a batch too, for its cursor.
        alone: whether the error of a device is raised; otherwise the others go on.
        again_after: seconds after which a device that was given up is polled again, unless
            the key gives no access to it. inf is never.
        on_failure: called with the id and the failure of a device that is given up.
        fetch: fetches a page.
        history: fetches messages with their ids.
        quota: gives the quota as it is known now.
        clock: gives the time.
        hold: runs what it is given until the session closes, which it raises.

    Raises:
        ConfigurationError: `doorbell` is not one of the accepted kinds.
    """

    list_devices: Callable[[], Awaitable[list[str]]]
    refresh: bool
    query: Callable[[str], WalkQuery]
    start: int | None
    cursors: Mapping[str, Cursor]
    settings: WalkSettings
    doorbell: Any
    pace: FollowPace
    concurrency: int
    empty: bool
    alone: bool
    again_after: float
    on_failure: Callable[[str, DeviceFailure], object]
    fetch: Fetch
    history: History
    quota: Callable[[], Quota]
    clock: Clock
    hold: Hold

    _present: Present = attrs.field(init=False)
    _budget: PollBudget = attrs.field(init=False)
    _pages: TimedPages = attrs.field(init=False)
    _poller: Poller = attrs.field(init=False)
    _batches: Channel[MessageBatch] = attrs.field(init=False)
    _slots: asyncio.Semaphore = attrs.field(init=False)
    _tasks: TaskGroup = attrs.field(init=False)
    _schedule: Schedule[FollowedDevice] = attrs.field(init=False, factory=Schedule)
    _devices: dict[str, FollowedDevice] = attrs.field(init=False, factory=dict)
    _failed: dict[str, DeviceFailure] = attrs.field(init=False, factory=dict)
    _listed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        if self.doorbell is not None and not is_doorbell(self.doorbell):
            raise ConfigurationError(
                "doorbell must be async-iterable, awaitable, or a callable that returns an "
                f"awaitable, not {type(self.doorbell).__name__}"
            )
        self._present = Present(inf)
        self._budget = PollBudget(self.pace.share)
        self._pages = TimedPages(self.fetch, self.clock, settle=self.settings.settle)
        self._batches = Channel(self.concurrency)
        self._slots = asyncio.Semaphore(self.concurrency)
        self._tasks = TaskGroup(self._batches.fail)
        self._poller = Poller(
            pages=self._pages,
            history=self.history,
            settings=self.settings,
            clock=self.clock,
            deliver=self._batches.put,
            empty=self.empty,
            present=self._present,
        )

    async def batches(self) -> AsyncGenerator[MessageBatch, None]:
        """Yield batches as they are found, without end."""
        doorbell: list[asyncio.Task[None]] = []
        async with self._tasks as tasks:
            tasks.start(self.hold(self._poll_devices))
            if self.doorbell is not None:
                # Not one of the group: its failure must not end the polls.
                doorbell.append(asyncio.ensure_future(listen(self.doorbell, self._wake)))
                doorbell[0].add_done_callback(_doorbell_ended)
            try:
                while True:
                    yield await self._batches.get()
            finally:
                await cancel_and_wait(doorbell)

    def _wake(self, device_id: str | None) -> None:
        """Poll a device, or all for None, as soon as its new messages can be yielded."""
        now = self.clock.monotonic()
        if device_id is None and len(self._devices) > 1:
            # Polls of all devices are soon due, but keep the pace that the quota allows.
            for each, device in self._devices.items():
                if not device.polling and each not in self._failed:
                    self._schedule.put(device, now + self.settings.settle, "expected")
            return
        for each in self._devices if device_id is None else (device_id,):
            woken = self._devices.get(each)
            if woken is not None and each not in self._failed:
                woken.wakeups.add(now)
                self._schedule_wakeup(woken)

    def _schedule_wakeup(self, device: FollowedDevice) -> None:
        if not device.polling and (due := device.wakeups.due) is not None:
            self._schedule.put(device, due, "wakeup")

    async def _poll_devices(self) -> None:
        """Start polls, without end, and list the devices now and then."""
        self._present.began_at = self.clock.monotonic()
        await self._list_devices()
        list_at = self.clock.monotonic() + _LIST_AGAIN if self.refresh else inf
        while True:
            await self._slots.acquire()
            reason = await self._next_due(list_at)
            now = self.clock.monotonic()
            self._budget.spend(now, wakeup=reason == "wakeup")
            if reason is None:
                list_at = now + _LIST_AGAIN
                task = self._tasks.start(self._list_devices())
            else:
                device = self._schedule.take(reason)
                device.polling, device.polled_at = True, now
                device.wakeups.poll_begins(now)
                task = self._tasks.start(self._poll(device))
            task.add_done_callback(lambda _: self._slots.release())

    async def _next_due(self, list_at: float) -> Reason | None:
        """Wait until a poll is due; its reason, or None if the devices are to be listed."""
        while True:
            now = self.clock.monotonic()
            if now >= list_at:
                return None
            wakeup = self._schedule.first_due("wakeup")
            if wakeup <= now:
                return "wakeup"  # it is worth a request at once; all others keep the pace
            reason, due = self._next_regular(now)
            if due <= now:
                due = self._budget.next_at(self.quota(), now, self.clock.time())
                if due <= now:
                    return reason
            await self._schedule.wait(min(due, wakeup, list_at) - now)

    def _next_regular(self, now: float) -> tuple[Reason, float]:
        """The next poll that answers no wake-up: its reason, and when it may begin."""
        expected = self._schedule.first_due("expected")
        overdue = self._schedule.first_due("overdue")
        if min(expected, overdue) <= now or overdue == inf:
            return ("expected", expected) if expected <= overdue else ("overdue", overdue)
        # Unused quota goes to the device whose last poll was longest ago.
        spare = self._schedule.first("overdue").polled_at + self.pace.slowest
        return ("expected", expected) if expected <= spare else ("overdue", spare)

    async def _list_devices(self) -> None:
        """Add the devices that are not followed yet."""
        try:
            ids = await self.list_devices()
        except IottlyError as error:
            if not self._devices or isinstance(error, EVERY_DEVICE):
                raise
            _log.warning(
                "the devices could not be listed, and new ones are not followed: %s", error
            )
            return
        now = self.clock.monotonic()
        for device_id in ids:
            if device_id not in self._devices and device_id not in self._failed:
                device = self._devices[device_id] = self._new_device(device_id)
                device.added = self._listed
                self._schedule.put(device, now, "expected")
        self._listed = True

    def _new_device(self, device_id: str) -> FollowedDevice:
        cursor = self.cursors.get(device_id)
        query = self.query(device_id)
        if cursor is None:
            query = attrs.evolve(query, start=self.start)
        now = self._pages.server_time(self.clock.monotonic())
        return FollowedDevice(
            query, cursor, Traffic(now, self.pace.fastest), WakeUps(self.settings.settle)
        )

    async def _poll(self, device: FollowedDevice) -> None:
        """Poll a device, and schedule its next poll; give the device up if it fails."""
        try:
            await self._poller.poll(device)
        except IottlyError as error:
            if self.alone or isinstance(error, EVERY_DEVICE):
                raise
            self._give_up(device, error)
            return
        self._failed.pop(device.query.device_id, None)
        now = self.clock.monotonic()
        device.polling = False
        device.wakeups.poll_ended(
            now,
            doubt=self._pages.doubt,
            found=device.found,
            newest=self._pages.monotonic(device.newest) + device.lag,
        )
        self._schedule_regular(device)
        self._schedule_wakeup(device)

    def _give_up(self, device: FollowedDevice, error: IottlyError) -> None:
        """Follow a device no more, or not for a while.

        Raises:
            DevicesFailedError: no device is left.
        """
        device_id = device.query.device_id
        failure = self._failed[device_id] = DeviceFailure(error=error, cursor=device.cursor)
        again_after = inf if isinstance(error, ForbiddenError) else self.again_after
        until = "" if again_after == inf else f"; it is polled again after {again_after:g} s"
        _log.warning(
            "device %s is not followed any more: %s: %s%s",
            device_id,
            type(error).__name__,
            error,
            until,
        )
        self.on_failure(device_id, failure)
        if again_after < inf:
            device.polling = False
            self._schedule.put(device, self.clock.monotonic() + again_after, "expected")
            return
        del self._devices[device_id]
        if not self._devices:
            raise DevicesFailedError.of(self._failed, devices=len(self._failed))

    def _schedule_regular(self, device: FollowedDevice) -> None:
        """Schedule two polls: when the device is expected to have sent, and the latest one."""
        pace = self.pace
        round_time = self._budget.round_time(self.quota(), len(self._devices))
        goal = max(pace.goal, round_time / _GOAL_PARTS)
        sent = device.traffic.next_poll(goal) if device.unsettled is None else device.unsettled
        expected = self._pages.monotonic(sent) + self.settings.settle + device.lag
        expected = max(expected, device.polled_at + pace.fastest)
        self._schedule.put(device, expected, "expected")
        rhythm = device.traffic.rhythm
        latest = max(pace.slowest, _ROUNDS[rhythm] * round_time)
        if rhythm == "steady" and round_time:
            # Polls are spread evenly over the pause: one shortly before its end is wasted.
            pause = expected - device.polled_at
            latest = max(latest, pause / max(1.0, pause // latest))
        self._schedule.put(device, device.polled_at + latest, "overdue")


def _doorbell_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("the doorbell failed; devices are polled without it: %r", error)
