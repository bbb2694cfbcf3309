"""One stream from the service, handed to any number of browsers.

A stream a browser would be a connection and a subscription each; here a worker has one,
and a browser that is slow loses its oldest events and no one else's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from iottly_async import Device, Gap, IottlyError, IottlySession, Message, Quota, Stream
from iottly_async.webhooks.dedupe import SeenKeys

LOG = logging.getLogger("fastapi_backend")

STATUS_EVERY = 2.0  # seconds; costs the service nothing
FLEET_EVERY = 30.0  # seconds; two requests a minute, however many browsers look
RESTART_AFTER = 5.0  # seconds after a stream ended for good
BINS, BIN_SECONDS = 60, 10  # ten minutes of counts

Event = tuple[str, str, str | None]
"""Name, JSON and id of a server-sent event."""

_message = TypeAdapter(Message).dump_json
_devices = partial(
    TypeAdapter(Sequence[Device]).dump_json,
    include={"__all__": {"id", "name", "operating_status"}},  # no token goes to a browser
)
_any = TypeAdapter(dict[str, Any]).dump_json
_quota = TypeAdapter(Quota).dump_python


class Hub:
    """Messages, the fleet and the quota, for whoever listens."""

    def __init__(self, session: IottlySession, project_id: str, *, backlog: int = 1000) -> None:
        self._session = session
        self._project_id = project_id
        self._backlog = backlog
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._seen = SeenKeys()
        self._counts: deque[tuple[int, int]] = deque(maxlen=BINS)
        self._devices: list[Device] | None = None  # not listed yet
        self._problems: dict[str, str] = {}  # of the stream, of the list
        self._stream: Stream | None = None

    @property
    def listeners(self) -> int:
        """How many browsers listen."""
        return len(self._listeners)

    async def take(self, message: Message) -> None:
        """A message of the stream or of a webhook; once, whichever brings it first."""
        if self._seen.claim(message.key) != "new":
            return
        self._seen.keep(message.key)
        self._count()
        self._publish("message", _message(message).decode(), message.key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to the service for as long as the block lasts."""
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._listen()),
                tasks.create_task(self._watch_fleet()),
                tasks.create_task(self._tell_status()),
            ]
            try:
                yield
            finally:
                for task in work:
                    task.cancel()

    async def events(self) -> AsyncGenerator[Event, None]:
        """First how things stand, then what happens."""
        queue: asyncio.Queue[Event] = asyncio.Queue(self._backlog)
        self._listeners.add(queue)
        try:
            if self._devices is not None:
                yield "fleet", _devices(self._devices).decode(), None
            yield "status", self._status(), None
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def _publish(self, name: str, data: str, identity: str | None = None) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait((name, data, identity))

    def _count(self) -> None:
        now = int(datetime.now(UTC).timestamp()) // BIN_SECONDS
        if self._counts and self._counts[-1][0] == now:
            self._counts[-1] = (now, self._counts[-1][1] + 1)
        else:
            self._counts.append((now, 1))

    def _status(self) -> str:
        now = int(datetime.now(UTC).timestamp()) // BIN_SECONDS
        counts = dict(self._counts)
        return _any(
            {
                "live": self._stream is not None and self._stream.connected,
                "problem": next(iter(self._problems.values()), None),
                "quota": _quota(self._session.quota),
                "counts": [counts.get(now - age, 0) for age in reversed(range(BINS))],
                "bin_seconds": BIN_SECONDS,
                "ends_at": datetime.fromtimestamp((now + 1) * BIN_SECONDS, UTC),
            }
        ).decode()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._session.stream() as self._stream:
                    await self._stream.until_connected()
                    self._problems.pop("stream", None)
                    self._publish("status", self._status())
                    async for event in self._stream:
                        if isinstance(event, Gap):
                            # The page reads again what it shows, where that matters.
                            self._publish("gap", "{}")
                        else:
                            await self.take(event)
            except IottlyError as error:
                LOG.warning("the stream ended: %s", error)
                self._problems["stream"] = f"The service refuses the stream: {error}"
            await asyncio.sleep(RESTART_AFTER)

    async def _watch_fleet(self) -> None:
        project = self._session.with_options(priority=-1).project(self._project_id)
        while True:
            try:
                self._devices = await project.devices.list()
            except IottlyError as error:
                LOG.warning("the devices could not be listed: %s", error)
                self._problems["fleet"] = f"The devices could not be listed: {error}"
            else:
                self._problems.pop("fleet", None)
                self._publish("fleet", _devices(self._devices).decode())
            await asyncio.sleep(FLEET_EVERY)

    async def _tell_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_EVERY)
            self._publish("status", self._status())
