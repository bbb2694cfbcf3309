"""The library and the clients that it is compared with; all fetch the same pages.

All page alike: the messages of a full page's last millisecond are dropped, and the next page
starts with that millisecond.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import Any, Final, TypeVar

import aiohttp
import backoff
import orjson
from attrs import frozen
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override
from pyarrow import Table

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.codec import decode_page
from iottly_async.models._time import epoch_ms
from iottly_async.times import write_time
from iottly_async.transport import AiohttpTransport, Outgoing

from .pages import DEVICE, PROJECT, SIZE

T = TypeVar("T")
by_name: Final = itemgetter("timestamp")
by_attribute: Final = attrgetter("timestamp")

KEY: Final = "benchmark-key"
PATH: Final = f"/v1.0/project/{PROJECT}/device/{DEVICE}/messages/paginated"
HEADERS: Final = {"Authentication": f"bearer {KEY}"}


def url(base: str, start: str | None) -> str:
    """The URL of the page from a time on; None is the first page."""
    since = "" if start is None else f"&from={start}"
    return f"{base}{PATH}?l={SIZE}&type=all&sort=asc{since}"


def held_from(messages: Sequence[T], time_of: Callable[[T], Any]) -> int:
    """The index of the first message of a full page's last millisecond."""
    index = len(messages) - 1
    last = time_of(messages[index])
    while time_of(messages[index - 1]) == last:
        index -= 1
    return index


class Walker:
    """The library's session."""

    def __init__(self, base: str, http: Any = None) -> None:
        config = Config(base_url=base)
        self._session = IottlySession(KEY, config=config, http=http, limiter=RateLimiter())
        self.messages = self._session.project(PROJECT).messages

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.aclose()

    async def walk(self) -> int:
        """Walk over every message and decode its payload."""
        count = 0
        async with aclosing(self.messages.walk(DEVICE)) as found:
            async for message in found:
                message.payload  # noqa: B018 - access decodes it
                count += 1
        return count

    async def hand_on(self) -> int:
        """Walk in batches and take each payload as JSON."""
        count = 0
        async with aclosing(self.messages.batches(DEVICE)) as found:
            async for batch in found:
                for message in batch.messages:
                    message.payload_json  # noqa: B018 - as a writer of files would
                count += len(batch.messages)
        return count

    async def columns(self) -> int:
        """Read every message as Arrow columns."""
        count = 0
        async with aclosing(self.messages.arrow(DEVICE)) as found:
            async for rows, _ in found:
                count += rows.num_rows
        return count


class Raw:
    """aiohttp's own session and `orjson.loads`: the least that a client does."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = aiohttp.ClientSession(headers=HEADERS)

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.close()

    async def _pages(self) -> AsyncIterator[bytes]:
        self._next: str | None = None
        while True:
            async with self._session.get(url(self._base, self._next)) as response:
                body = await response.read()
            yield body
            if self._next is None:
                return

    async def loads(self) -> int:
        """Decode every page into dicts."""
        count = 0
        async for body in self._pages():
            messages = orjson.loads(body)["messages"]
            if len(messages) == SIZE:
                self._next = messages[-1]["timestamp"]
                count += held_from(messages, by_name)
            else:
                self._next = None
                count += len(messages)
        return count

    async def columns(self, *, keyed: bool = False) -> int:
        """Decode every page into dicts, and make one Arrow table of them, with keys if `keyed`."""
        rows: list[dict[str, Any]] = []
        async for body in self._pages():
            messages = orjson.loads(body)["messages"]
            if len(messages) == SIZE:
                self._next = messages[-1]["timestamp"]
                del messages[held_from(messages, by_name) :]
            else:
                self._next = None
            if keyed:
                for message in messages:
                    form = orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
                    message["key"] = blake2b(form, digest_size=16).hexdigest()
            rows += messages
        return int(Table.from_pylist(rows).num_rows)

    async def structured(self) -> int:
        """Decode every page and payload with the library's codec."""
        count = 0
        async for body in self._pages():
            messages = decode_page(body, project_id=PROJECT, device_id=DEVICE).messages
            for message in messages:
                message.payload  # noqa: B018 - access decodes it
            if len(messages) == SIZE:
                self._next = write_time(epoch_ms(messages[-1].timestamp), "iso")
                count += held_from(messages, by_attribute)
            else:
                self._next = None
                count += len(messages)
        return count


class Bare:
    """The library's connections and codec with nothing between.

    It is the least that a client needs that uses aiohttp's connector and parser and makes
    messages.
    """

    def __init__(self, base: str) -> None:
        self._transport = AiohttpTransport(Config(base_url=base))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def hand_on(self) -> int:
        """Decode every page and take each payload as JSON."""
        count, start = 0, None
        while True:
            answer = await self._transport.send(Outgoing("GET", url("", start), HEADERS))
            messages = decode_page(answer.body, project_id=PROJECT, device_id=DEVICE).messages
            for message in messages:
                message.payload_json  # noqa: B018 - as a writer of files would
            if len(messages) < SIZE:
                return count + len(messages)
            start = write_time(epoch_ms(messages[-1].timestamp), "iso")
            count += held_from(messages, by_attribute)

    async def rows(self) -> int:
        """Decode every page into typed rows, and make nothing of them."""
        count, start = 0, None
        while True:
            answer = await self._transport.send(Outgoing("GET", url("", start), HEADERS))
            rows = decode_page(answer.body, project_id=PROJECT, device_id=DEVICE).rows
            if len(rows) < SIZE:
                return count + len(rows)
            start = write_time(rows[-1].at, "iso")
            count += held_from(rows, attrgetter("time"))


@frozen
class PlainMessage:
    """A message, as an attrs class written by hand."""

    device_id: str
    project_id: str
    timestamp: datetime
    device_timestamp: datetime | None
    type: str
    payload: dict[str, Any]
    channel: str | None = None


@frozen
class PlainPage:
    """A page of messages."""

    messages: list[PlainMessage]


def _plain_converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook(
        datetime, lambda text, _: datetime.fromisoformat(text).replace(tzinfo=UTC)
    )
    hook = make_dict_structure_fn(
        PlainMessage,
        converter,
        device_id=override(rename="from"),
        project_id=override(rename="to"),
        device_timestamp=override(rename="devicetimestamp"),
    )
    converter.register_structure_hook(PlainMessage, hook)
    return converter


class ByHand:
    """A client written by hand with `r.json()`, cattrs and backoff.

    Args:
        base: The base URL of the service.
        session_a_call: Whether it opens a ClientSession for each call, a common mistake.
    """

    def __init__(self, base: str, *, session_a_call: bool = False) -> None:
        self._base = base
        self._session = None if session_a_call else aiohttp.ClientSession(headers=HEADERS)
        self._converter = _plain_converter()

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    @backoff.on_exception(backoff.expo, aiohttp.ClientError, max_tries=4)
    async def _page(self, start: datetime | None) -> PlainPage:
        parameters = {"l": str(SIZE), "type": "all", "sort": "asc"}
        if start is not None:
            parameters["from"] = start.replace(tzinfo=None).isoformat(timespec="milliseconds")
        if self._session is not None:
            return await self._get(self._session, parameters)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            return await self._get(session, parameters)

    async def _get(self, session: aiohttp.ClientSession, parameters: dict[str, str]) -> PlainPage:
        async with session.get(self._base + PATH, params=parameters) as response:
            response.raise_for_status()
            return self._converter.structure(await response.json(), PlainPage)

    async def messages(self) -> AsyncIterator[PlainMessage]:
        """Walk over every message."""
        start = None
        while True:
            page = await self._page(start)
            if len(page.messages) < SIZE:
                break
            start = page.messages[-1].timestamp
            for message in page.messages[: held_from(page.messages, by_attribute)]:
                yield message
        for message in page.messages:
            yield message

    async def walk(self) -> int:
        """Walk over every message and decode its payload."""
        count = 0
        async for message in self.messages():
            message.payload  # noqa: B018 - decoded already; the others decode on access
            count += 1
        return count
