"""Sends one stream of the service to any number of browsers.

With a stream for each browser, each would need a connection and a subscription. Here a
worker has one stream. A slow browser loses its own oldest events, and delays no other.
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

STATUS_EVERY = 2.0  # seconds; costs no request
FLEET_EVERY = 30.0  # seconds; two requests a minute, for any number of browsers
RESTART_AFTER = 5.0  # seconds after a stream ended with an error
BINS, BIN_SECONDS = 60, 10  # message counts of the last ten minutes

Event = tuple[str, str, str | None]
"""The name, the JSON and the id of a server-sent event."""

_message = TypeAdapter(Message).dump_json
_devices = partial(
    TypeAdapter(Sequence[Device]).dump_json,
    include={"__all__": {"id", "name", "operating_status"}},  # browsers get no licence tokens
)
_any = TypeAdapter(dict[str, Any]).dump_json
_quota = TypeAdapter(Quota).dump_python


class Hub:
    """Publishes messages, the fleet and the quota to browsers."""

    def __init__(self, session: IottlySession, project_id: str, *, backlog: int = 1000) -> None:
        self._session = session
        self._project_id = project_id
        self._backlog = backlog
        self._listeners: set[asyncio.Queue[Event]] = set()
        self._seen = SeenKeys()
        self._counts: deque[tuple[int, int]] = deque(maxlen=BINS)
        self._devices: list[Device] | None = None  # None until they are listed
        self._problems: dict[str, str] = {}  # by source: "stream" or "fleet"
        self._stream: Stream | None = None

    @property
    def listeners(self) -> int:
        """The number of connected browsers."""
        return len(self._listeners)

    async def publish_once(self, message: Message) -> None:
        """Publish a message of the stream or of a webhook, unless it was published before."""
        if self._seen.claim(message.key) != "new":
            return
        self._seen.keep(message.key)
        self._count()
        self._publish("message", _message(message).decode(), message.key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read from the service while the block runs."""
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._read_stream()),
                tasks.create_task(self._list_fleet()),
                tasks.create_task(self._publish_status()),
            ]
            try:
                yield
            finally:
                for task in work:
                    task.cancel()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the current state, and then every event."""
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

    async def _read_stream(self) -> None:
        while True:
            try:
                async with self._session.stream() as self._stream:
                    await self._stream.until_connected()
                    self._problems.pop("stream", None)
                    self._publish("status", self._status())
                    async for event in self._stream:
                        if isinstance(event, Gap):
                            # On this event the page reads its history again.
                            self._publish("gap", "{}")
                        else:
                            await self.publish_once(event)
            except IottlyError as error:
                LOG.warning("the stream ended: %s", error)
                self._problems["stream"] = f"The service refuses the stream: {error}"
            await asyncio.sleep(RESTART_AFTER)

    async def _list_fleet(self) -> None:
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

    async def _publish_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_EVERY)
            self._publish("status", self._status())
