"""The soak's load: workers that do random work and count its outcomes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Literal

from iottly_async import (
    ApiError,
    CommandOutcomeUnknownError,
    Config,
    IottlyError,
    IottlySession,
    RateLimiter,
    RetryPolicy,
)

Outcome = Literal["done", "not done", "unknown"]

LONGEST = 120.0
"""Seconds after which a piece of work counts as hanging."""


class Place:
    """The target of the load: the proxy's URL, the key, the project and its devices.

    Attributes:
        truth: By device, the keys of its messages, with the number of messages of each.
    """

    def __init__(self, url: str, key: str, project: str, devices: list[str], fleet: list[str]):
        self.url, self.key, self.project = url, key, project
        self.devices, self.fleet = devices, fleet
        self.truth: dict[str, Counter[str]] = {}

    def session(self, **settings: Any) -> IottlySession:
        """A session on it, with timeouts short enough for a soak."""
        retry = RetryPolicy(max_attempts=4, initial_delay=0.01, max_delay=0.1)
        defaults: dict[str, Any] = {"attempt_timeout": 2.0, "timeout": 30.0, "max_connections": 20}
        config = Config(base_url=self.url, retry=retry, **(defaults | settings))
        return IottlySession(self.key, config=config, limiter=RateLimiter())


class Load:
    """The workers of one session, and their counts.

    Attributes:
        counts: The work that ended, by kind and outcome.
        commands: The outcome of each command since the last audit.
        wrong: Violations by kind: foreign errors, hangs, lost or repeated messages.
    """

    def __init__(self, place: Place, session: IottlySession, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.commands: dict[str, Outcome] = {}
        self.wrong: Counter[str] = Counter()
        self.stopping = False
        self._place = place
        self._session = session
        self._chance = random.Random(seed)
        self._number = 0
        self._busy = 0
        self._go = asyncio.Event()
        self._go.set()
        self._idle = asyncio.Event()

    @property
    def _project(self) -> Any:
        return self._session.project(self._place.project)

    async def work(self) -> None:
        """Do one piece of random work after another until `stopping` is set."""
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._read, 40),
            (self._rename, 4),
            (self._command, 25),
            (self._walk, 6),
            (self._abandon_a_walk, 4),
            (self._cancel, 20),
            (self._open_and_close, 1),
        ]
        works, weights = zip(*kinds, strict=True)
        while not self.stopping:
            await self._go.wait()
            with self._counted():
                await self._guarded(self._chance.choices(works, weights)[0])

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def pause(self) -> None:
        """Wait until each worker has ended its piece of work; `resume` continues."""
        self._go.clear()
        if self._busy:
            await self._idle.wait()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._go.set()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        name = work.__name__.strip("_")
        try:
            async with asyncio.timeout(LONGEST):
                await work()
        except IottlyError as error:
            self.counts[f"{name}: {type(error).__name__}"] += 1
        except TimeoutError:
            self.wrong["hangs"] += 1
        except Exception as error:  # noqa: BLE001 - the soak counts them
            self.wrong[f"foreign error {type(error).__name__} in {name}"] += 1
        else:
            self.counts[f"{name}: done"] += 1

    async def _read(self) -> None:
        project, chance, place = self._project, self._chance, self._place
        device, fleet = chance.choice(place.devices), chance.choice(place.fleet)
        await chance.choice(
            [
                self._session.ping,
                project.inspect,
                project.licenses.list,
                project.devices.list,
                lambda: project.devices.get(device),
                lambda: project.messages.recent(device, limit=50),
                lambda: project.messages.page(device, size=100),
                lambda: self._session.devices.page(1, 3),
                lambda: self._session.devices.get(fleet),
            ]
        )()

    async def _rename(self) -> None:
        await self._project.devices.rename(self._chance.choice(self._place.devices), "soaked")

    async def _command(self) -> None:
        self._number += 1
        text = f"soak {self._number}"
        self.commands[text] = "unknown"  # it stays so if the call is cancelled
        try:
            await self._session.commands.send(self._place.fleet[0], text)
        except IottlyError as error:
            sure = error.sent == "no" or isinstance(error, ApiError)
            if not isinstance(error, CommandOutcomeUnknownError) and sure:
                self.commands[text] = "not done"
            raise
        self.commands[text] = "done"

    async def _walk(self) -> None:
        """Walk to the end, resuming after each error, and compare with the stored messages."""
        chance, messages = self._chance, self._project.messages
        device = chance.choice(self._place.devices)
        concurrency = chance.choice((1, 1, 3, 6))
        settings: dict[str, Any] = {
            "order": chance.choice(("asc", "desc")),
            "concurrency": concurrency,
            "ordered": chance.random() < 0.5,
        }
        found: Counter[str] = Counter()
        cursor = None
        while True:
            try:
                async with aclosing(messages.batches(device, cursor=cursor, **settings)) as walk:
                    async for batch in walk:
                        found.update(message.key for message in batch.messages)
                        cursor = batch.cursor
            except IottlyError as error:
                self.counts[f"walk resumed after {type(error).__name__}"] += 1
            else:
                break
        truth = self._place.truth[device]
        self.counts["rows walked"] += found.total()
        self.wrong["rows lost"] += (truth - found).total()
        self.wrong["rows repeated"] += (found - truth).total()

    async def _abandon_a_walk(self) -> None:
        """Leave a walk by break, and close it or not."""
        device = self._chance.choice(self._place.devices)
        walk = self._project.messages.walk(device, concurrency=self._chance.choice((1, 4)))
        last = self._chance.randrange(300)
        number = 0
        async for _ in walk:
            number += 1
            if number > last:
                break
        if self._chance.random() < 0.5:
            await walk.aclose()

    async def _cancel(self) -> None:
        """Cancel a piece of work at a random moment."""
        work = self._chance.choice((self._read, self._command, self._walk, self._rename))
        task = asyncio.ensure_future(work())
        await asyncio.wait([task], timeout=self._chance.expovariate(1 / 0.02))
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _open_and_close(self) -> None:
        """Close a session while its calls are under way."""
        session = self._place.session(max_connections=3)
        calls = [asyncio.ensure_future(session.ping()) for _ in range(8)]
        await asyncio.wait(calls, timeout=self._chance.expovariate(1 / 0.01))
        await session.aclose()
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, IottlyError):
                raise result
