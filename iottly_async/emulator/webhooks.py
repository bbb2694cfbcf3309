"""Webhooks: each message POSTed to addresses of the user's, as the platform does it.

A webhook has a type and a channel that it is for, sends the whole message under ``msg`` or the
bare payload, and carries up to five headers of the user's choice. Each has one task that delivers
in order, one at a time and once: nothing is documented about a second try, so there is none.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs

from .fleet.devices import Device
from .rows import Row, dump_json

MOST_WEBHOOKS = 5
MOST_HEADERS = 5
_TYPES = ("all", "userdefined", "iottlyagent")
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_REMEMBERED = 100_000
_RESERVED = frozenset({"content-length", "content-type", "host", "transfer-encoding", "connection"})


def _copied(headers: Mapping[str, str]) -> Mapping[str, str]:
    return dict(headers)


@attrs.frozen(kw_only=True)
class Webhook:
    """Where messages are sent to, which ones, and with what headers.

    ``url`` is an http address on the loopback interface. ``type`` is all, userdefined or
    iottlyagent, ``channel`` one channel or None for any. ``payload_only``: the bare payload instead
    of the envelope. ``headers``: up to five. Raises ``ValueError`` for what is not so.
    """

    url: str
    type: str = "all"
    channel: str | None = None
    payload_only: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=_copied)

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not _is_loopback(parts.hostname):
            raise ValueError(f"url={self.url!r}: an http address on the loopback interface")
        if self.type not in _TYPES:
            raise ValueError(f"type={self.type!r}: one of {', '.join(_TYPES)}")
        if len(self.headers) > MOST_HEADERS:
            raise ValueError(f"headers: at most {MOST_HEADERS}, not {len(self.headers)}")
        for name, value in self.headers.items():
            if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
                raise ValueError(f"headers: {name!r} is not a header's name")
            if name.lower() in _RESERVED or not value.isprintable():
                raise ValueError(f"headers: {name!r} cannot be set, or not to this")

    def wants(self, row: Row) -> bool:
        """Whether a message, ``row``, is one of those that it is for."""
        return self.type in ("all", row.type) and self.channel in (None, row.channel)

    def as_json(self) -> dict[str, Any]:
        """The webhook as it is given out at the control address; headers by name alone."""
        return attrs.asdict(self) | {"headers": sorted(self.headers)}


@attrs.frozen(kw_only=True)
class Delivery:
    """One try to deliver the message with the number ``row`` to ``url``.

    ``status`` is the answer's, None where there was none; ``error`` then tells what went wrong.
    """

    url: str
    row: int
    status: int | None
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """The delivery as it is given out at the control address."""
        return attrs.asdict(self)


class Webhooks:
    """The webhooks of one project; ``ValueError`` for a sixth."""

    def __init__(self) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._lines: list[_DeliveryQueue] = []
        self._delivered = 0
        self._watchers: set[asyncio.Future[None]] = set()

    @property
    def active(self) -> list[Webhook]:
        """Those that are set up, oldest first."""
        return [line.webhook for line in self._lines]

    def add(self, webhook: Webhook) -> Webhook:
        """Set up another one; must be called in the running loop."""
        if len(self._lines) >= MOST_WEBHOOKS:
            raise ValueError(f"a project has at most {MOST_WEBHOOKS} webhooks")
        self._lines.append(_DeliveryQueue(webhook, self._note))
        return webhook

    def clear(self) -> None:
        """Take all down; what waits is not delivered any more."""
        for line in self._lines:
            line.stop()
        self._lines.clear()

    def tell(self, device: Device, row: Row, project_id: str) -> None:
        """A message became visible."""
        for line in self._lines:
            if line.webhook.wants(row):
                line.put(row.id, _body(line.webhook, device, row, project_id))

    async def until(self, count: int) -> None:
        """Return once ``count`` deliveries were tried."""
        while self._delivered < count:
            watcher = asyncio.get_running_loop().create_future()
            self._watchers.add(watcher)
            try:
                await watcher
            finally:
                self._watchers.discard(watcher)

    async def aclose(self) -> None:
        """Take all down, and wait until nothing is under way."""
        tasks = [line.task for line in self._lines]
        self.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._delivered += 1
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)


class _DeliveryQueue:
    """One webhook's queue, and the task that empties it."""

    def __init__(self, webhook: Webhook, note: Callable[[Delivery], None]) -> None:
        self.webhook = webhook
        self._note = note
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.task = asyncio.get_running_loop().create_task(self._deliver())

    def put(self, row: int, body: bytes) -> None:
        self._queue.put_nowait((row, body))

    def stop(self) -> None:
        self.task.cancel()

    async def _deliver(self) -> None:
        headers = {**self.webhook.headers, "Content-Type": "application/json"}
        async with aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers) as session:
            while True:
                row, body = await self._queue.get()
                status, error = None, None
                try:
                    async with session.post(
                        self.webhook.url, data=body, allow_redirects=False
                    ) as answer:
                        status = answer.status
                        await answer.read()
                except (aiohttp.ClientError, OSError, TimeoutError) as failed:
                    error = type(failed).__name__
                self._note(Delivery(url=self.webhook.url, row=row, status=status, error=error))


def _body(webhook: Webhook, device: Device, row: Row, project_id: str) -> bytes:
    if webhook.payload_only:
        return row.payload_json.encode()
    return f'{{"msg":{message_json(device, row, project_id)}}}'.encode()


def message_json(device: Device, row: Row, project_id: str) -> str:
    """A message as the live channels give it out: the form of the paginated endpoint."""
    return f'{{"from":{dump_json(device.id)},"to":{dump_json(project_id)},{row.tail}'


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
