"""A fleet that sends by `live_laws`, and how late its messages are seen."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from heapq import heapify, heapreplace

from iottly_async import MessageBatch

from .live_laws import HISTORY, laws


class Observed(ABC):
    """Devices that send, and which of their messages were seen; times are the fleet's seconds.

    Attributes:
        ages: of messages, when they were yielded.
        oldest: the age of the oldest unseen message, second by second.
        measuring: whether the two are recorded.
    """

    def __init__(self, device_ids: Sequence[str]) -> None:
        self._unseen: dict[str, deque[float]] = {each: deque() for each in device_ids}
        self._next: list[tuple[float, int, str, Callable[[], float]]] = []
        self.ages: list[float] = []
        self.oldest: list[float] = []
        self.measuring = False

    @abstractmethod
    def now(self) -> float:
        """The time."""

    @abstractmethod
    async def pause(self, seconds: float) -> None:
        """Wait this many seconds."""

    @abstractmethod
    def sent_before(self, device_id: str, ago: Sequence[float]) -> None:
        """Give a device messages from this many seconds ago, oldest first."""

    @abstractmethod
    def send(self, device_id: str) -> None:
        """Let a device send now."""

    def saw(self, batch: MessageBatch) -> None:
        """Record that messages were yielded."""
        now, unseen = self.now(), self._unseen[batch.cursor.device_id]
        for _ in batch.messages:
            if unseen:
                age = now - unseen.popleft()
                if self.measuring:
                    self.ages.append(age)

    def fill(self) -> None:
        """Give each device a history by its law, and the time of its next message."""
        chance, now = random.Random(12), self.now()
        for number, (device_id, wait) in enumerate(
            zip(self._unseen, laws(len(self._unseen)), strict=True)
        ):
            if wait is None:
                continue
            at = ahead = chance.random() * wait()
            past: list[float] = []
            while len(past) < HISTORY:
                at -= wait()
                past.append(max(-at, 1.0))
            self.sent_before(device_id, past[::-1])
            self._next.append((now + ahead, number, device_id, wait))
        heapify(self._next)

    async def watch(self, contender: Awaitable[None], warm: float, seconds: float) -> None:
        """Run a contender, and record ages after `warm` seconds."""
        tasks = [asyncio.ensure_future(each) for each in (contender, self._run(), self._sample())]
        try:
            for wait in (warm, seconds):
                timer = asyncio.ensure_future(self.pause(wait))
                await asyncio.wait([*tasks, timer], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
                self.measuring = True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        """Let the devices send by their laws, without end."""
        while True:
            at, number, device_id, wait = self._next[0]
            await self.pause(max(at - self.now(), 0.0))
            self._unseen[device_id].append(self.now())
            self.send(device_id)
            heapreplace(self._next, (at + wait(), number, device_id, wait))

    async def _sample(self) -> None:
        """Record the age of the oldest unseen message, second by second."""
        while True:
            await self.pause(1.0)
            if self.measuring:
                now = self.now()
                oldest = min((line[0] for line in self._unseen.values() if line), default=now)
                self.oldest.append(now - oldest)
