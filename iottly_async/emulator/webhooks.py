"""Webhooks: each message is POSTed to the user's addresses, as the platform does it.

A webhook filters by type and channel, sends the whole message under ``msg`` or the bare payload,
and carries up to five headers of the user's choice. Each webhook has one task, which delivers in
order and one message at a time. A message is tried once: nothing is documented about a second try.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import attrs

from .aio import Signal
from .fleet.devices import Device
from .rows import MESSAGE_TYPES, Row, message_json
from .settings import copied, is_loopback

MAX_WEBHOOKS = 5
MAX_HEADERS = 5
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_MAX_DELIVERIES = 100_000
# What every version of Python and of aiohttp reads alike.
_URL = re.compile(
    r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::(?P<port>[0-9]{1,5}))?([/?][!-~]*)?",
    re.IGNORECASE,
)
_RESERVED = frozenset({"content-length", "content-type", "host", "transfer-encoding", "connection"})


@attrs.frozen(kw_only=True)
class Webhook:
    """Where messages are POSTed to, which ones, and with which headers.

    Making one raises ``ValueError`` for a value that is not allowed.

    Attributes:
        url: An http address on the loopback interface.
        type: Which messages: ``all`` (the default), ``userdefined`` or ``iottlyagent``.
        channel: Only messages of this channel. None, the default, is every channel.
        payload_only: Whether the bare payload is sent instead of ``{"msg": {…}}``. False by
            default.
        headers: Up to five headers that are sent along; none by default.
    """

    url: str
    type: str = "all"
    channel: str | None = None
    payload_only: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=copied)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.url, str):
            raise TypeError("url: must be a text")
        parts = _URL.fullmatch(self.url)
        port = int(parts["port"] or 80) if parts else 0
        if not parts or not 0 < port < 65536 or not is_loopback(parts["host"].strip("[]")):
            raise ValueError(f"url={self.url!r}: must be an http address on the loopback interface")
        if self.type not in MESSAGE_TYPES:
            raise ValueError(f"type={self.type!r}: must be one of {', '.join(MESSAGE_TYPES)}")
        if len(self.headers) > MAX_HEADERS:
            raise ValueError(f"headers: at most {MAX_HEADERS}, not {len(self.headers)}")
        for name, value in self.headers.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError("headers: names and values must be texts")
            if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
                raise ValueError(f"headers: {name!r} is not a header's name")
            if name.lower() in _RESERVED or not value.isprintable():
                raise ValueError(f"headers: {name!r} cannot be set, or not to this value")

    def matches(self, row: Row) -> bool:
        """Whether a message is one that this webhook sends.

        Args:
            row: The message.

        Returns:
            True if type and channel match.
        """
        return self.type in ("all", row.type) and self.channel in (None, row.channel)

    def as_json(self) -> dict[str, Any]:
        """The webhook as the control address shows it.

        Returns:
            The attributes; of ``headers`` only the names, because values may be secrets.
        """
        return attrs.asdict(self) | {"headers": sorted(self.headers)}


@attrs.frozen(kw_only=True)
class Delivery:
    """One attempt to deliver a message to a webhook.

    Attributes:
        url: The webhook's address.
        row: The message's row number.
        status: The status of the answer; None if there was no answer.
        error: What went wrong, as the name of an exception; None if there was an answer.
    """

    url: str
    row: int
    status: int | None
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """The delivery as the control address shows it.

        Returns:
            The attributes, all of them JSON values.
        """
        return attrs.asdict(self)


class Webhooks:
    """The webhooks of the project, at most five, and their deliveries."""

    def __init__(self) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=_MAX_DELIVERIES)
        self._queues: list[_DeliveryQueue] = []
        self._total = 0
        self._delivered = Signal()

    @property
    def active(self) -> list[Webhook]:
        """The webhooks, oldest first."""
        return [queue.webhook for queue in self._queues]

    def add(self, webhook: Webhook) -> Webhook:
        """Add a webhook, in the running loop; ``ValueError`` for a sixth."""
        if len(self._queues) >= MAX_WEBHOOKS:
            raise ValueError(f"a project has at most {MAX_WEBHOOKS} webhooks")
        self._queues.append(_DeliveryQueue(webhook, self._record))
        return webhook

    def clear(self) -> None:
        """Remove every webhook; messages that wait for delivery are dropped."""
        for queue in self._queues:
            queue.task.cancel()
        self._queues.clear()

    def publish(self, device: Device, row: Row, project_id: str) -> None:
        """Queue a message that has become visible, for each webhook that it matches."""
        for queue in self._queues:
            if queue.webhook.matches(row):
                queue.put(row.id, _body(queue.webhook, device, row, project_id))

    async def until_delivered(self, count: int) -> None:
        """Return once ``count`` deliveries were tried."""
        await self._delivered.until(lambda: self._total >= count)

    async def aclose(self) -> None:
        """Remove every webhook and wait until its task has ended."""
        tasks = [queue.task for queue in self._queues]
        self.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _record(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._total += 1
        self._delivered.send()


class _DeliveryQueue:
    """The messages that wait for one webhook, and the task that delivers them."""

    def __init__(self, webhook: Webhook, record: Callable[[Delivery], None]) -> None:
        self.webhook = webhook
        self._record = record
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.task = asyncio.get_running_loop().create_task(self._deliver())

    def put(self, row: int, body: bytes) -> None:
        self._queue.put_nowait((row, body))

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
                except (aiohttp.ClientError, OSError, TimeoutError) as failure:
                    error = type(failure).__name__
                self._record(Delivery(url=self.webhook.url, row=row, status=status, error=error))


def _body(webhook: Webhook, device: Device, row: Row, project_id: str) -> bytes:
    if webhook.payload_only:
        return row.payload_json.encode()
    return f'{{"msg":{message_json(device.id, project_id, row)}}}'.encode()
