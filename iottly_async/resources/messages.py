"""The messages of a project's devices: the latest, a page, and walks over a range."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from ..codec import (
    MESSAGE_TYPES,
    ORDERS,
    choice,
    decode_history,
    decode_page,
    history_query,
    page_query,
)
from ..config import whole
from ..errors import ConfigurationError, DecodeError
from ..models import Cursor, Message, MessageBatch, MessagePage
from ..models._time import epoch_ms
from ..models.cursor import Order
from ..times import aware
from ..walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches
from ..walk.ties import number_twins
from ..wire import Answer, Request, Route, segment, target
from .context import Context

TypeFilter = Literal["all", "userdefined", "iottlyagent"]

_RECENT: Final = Route("messages.recent", "GET", "v1.0")
_PAGE: Final = Route("messages.page", "GET", "v1.0")


class Messages:
    """The messages of a project's devices (v1.0, "Message History", "Paginated Messages")."""

    def __init__(self, context: Context, project_id: str) -> None:
        self._context = context
        self._project_id = project_id
        self._path = ["project", segment(project_id, name="project_id")]

    async def recent(
        self, device_id: str, *, limit: int = 10, query: Mapping[str, Any] | None = None
    ) -> list[Message]:
        """The device's latest messages, newest first, each with its `id`.

        Args:
            device_id: of the device.
            limit: messages at most, 1 to 100.
            query: a MongoDB filter over the stored messages' own field names, such as
                ``{"type": "userdefined"}``; aware datetimes in it become ``$date``.
                None filters nothing.

        Raises:
            ConfigurationError: an argument is not as above; nothing was sent.
            BadRequestError: the service does not accept the filter.
        """
        project_id = self._project_id
        path = [*self._path, "messages", segment(device_id, name="device_id")]
        return await self._context.requester.call(
            Request(
                _RECENT,
                target("v1.0", path, history_query(limit, query)),
                lambda answer: number_twins(
                    _of_device(
                        decode_history(answer.body, project_id=project_id, device_id=device_id),
                        device_id,
                    )
                ),
            )
        )

    async def page(
        self,
        device_id: str,
        *,
        number: int = 1,
        size: int = 50,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "desc",
    ) -> MessagePage:
        """One page, as the endpoint gives it; empty where none matches (D4).

        Page numbers shift while messages arrive: to read a range, walk it.

        Args:
            device_id: of the device.
            number: 1 for the first page, whatever number the service gives it (D3).
            size: messages a page, 1 to 100.
            start, end: aware times; `start` inclusive, `end` exclusive; None is open.
            type: "all", "userdefined" or "iottlyagent".
            order: "desc", newest first, or "asc".

        Raises:
            ConfigurationError: an argument is not as above; nothing was sent.
        """
        low, high = bounds(start, end)
        request = PageRequest(
            device_id=device_id,
            start=low,
            end=high,
            type=choice(type, MESSAGE_TYPES, name="type"),
            order=_order(order),
            size=whole(size, name="size", least=1, most=100),
            number=None if whole(number, name="number", least=1) == 1 else number,
        )
        fetched = await self._context.requester.call(self._request(request))
        return MessagePage(messages=tuple(number_twins(fetched.messages)))

    async def walk(
        self,
        device_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
        concurrency: int = 1,
        ordered: bool = True,
        cursor: Cursor | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Every message of a range, each once; the arguments and errors of `batches`."""
        found = self.batches(
            device_id,
            start=start,
            end=end,
            type=type,
            order=order,
            concurrency=concurrency,
            ordered=ordered,
            cursor=cursor,
        )
        try:
            async for batch in found:
                for message in batch.messages:
                    yield message
        finally:
            await found.aclose()

    def batches(
        self,
        device_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
        concurrency: int = 1,
        ordered: bool = True,
        cursor: Cursor | None = None,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Every message of a range, each once, in lists with the cursor that follows them.

        Nothing is lost and nothing repeated while messages arrive, for the messages of
        a millisecond are handed out together, once it is sure that all are there. The
        next page is fetched while the last one is worked on. Errors arise while iterating.

        Args:
            device_id: of the device.
            start: aware; inclusive; None is the beginning.
            end: aware; exclusive; None, or a time to come, ends at the server's now less
                `Config.settle` (D11).
            type: "all", "userdefined" or "iottlyagent".
            order: "asc", oldest first, or "desc".
            concurrency: requests at once, at most; the quota may allow fewer.
            ordered: whether a walk with `concurrency` above 1 keeps the order; without,
                it is a little faster and needs less memory.
            cursor: of a batch whose messages were stored: goes on behind them. The other
                arguments must be those of the walk it came from; a range left open is
                taken from it.

        Raises:
            ConfigurationError: a naive time, `start` not before `end`, another argument
                not as above. This and the next are raised by the call itself, not while
                iterating, and nothing was sent.
            CursorMismatchError: the cursor is of another query.
            PageOrderError: the service does not keep the order asked for.
            UnstableTieOrderError: more messages of one millisecond than a page holds, on
                a service whose order among them changes.
        """
        query = self.query(device_id, start=start, end=end, type=type, order=order)
        return batches(
            self.fetch,
            query,
            settings=self.settings(),
            cursor=cursor,
            concurrency=whole(concurrency, name="concurrency", least=1),
            ordered=ordered,
            clock=self._context.clock,
            capacity=self._context.capacity,
        )

    def query(
        self,
        device_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
    ) -> WalkQuery:
        """The query of a walk, checked; what ingestion plans with.

        Raises:
            ConfigurationError: as `batches`.
        """
        segment(device_id, name="device_id")
        low, high = bounds(start, end)
        return WalkQuery(
            project_id=self._project_id,
            device_id=device_id,
            type=choice(type, MESSAGE_TYPES, name="type"),
            order=_order(order),
            start=low,
            end=high,
        )

    def settings(self) -> WalkSettings:
        """What a walk takes from the session's settings."""
        config = self._context.config
        return WalkSettings(page_size=config.page_size, settle=config.settle)

    async def fetch(self, request: PageRequest) -> Fetched:
        """One page for a walk; waiting for quota is not counted against the deadline."""
        return await self._context.requester.call(self._request(request), patient=True)

    def _request(self, page: PageRequest) -> Request[Fetched]:
        project_id, config = self._project_id, self._context.config
        # The first page goes without a number, so that it does not matter where they begin.
        number = None if page.number is None else config.first_page + page.number - 1
        query = page_query(
            number=number,
            size=page.size,
            start=page.start,
            end=page.end,
            type=page.type,
            order=page.order,
            form=config.timestamp_format,
        )
        device = segment(page.device_id, name="device_id")

        def read(answer: Answer) -> Fetched:
            messages = decode_page(answer.body, project_id=project_id, device_id=page.device_id)
            return Fetched(
                messages=_of_device(messages, page.device_id), server_time=answer.server_time
            )

        return Request(
            _PAGE,
            target("v1.0", [*self._path, "device", device, "messages", "paginated"], query),
            read,
            empty_on_404=lambda answer: Fetched(messages=[], server_time=answer.server_time),
        )


def _of_device(messages: list[Message], device_id: str) -> list[Message]:
    """`messages`, if they are of the device that was asked for: an answer is so as a whole."""
    if messages and messages[0].device_id.casefold() != device_id.casefold():
        raise DecodeError("expected messages of the device asked for", path="$.messages[0].from")
    return messages


def bounds(start: datetime | None, end: datetime | None) -> tuple[int | None, int | None]:
    """A range in milliseconds since the epoch, `end` exclusive, rounded up to the next.

    Raises:
        ConfigurationError: a naive time, or `start` not before `end`.
    """
    low = None if start is None else -(-_micros(start, "start") // 1000)
    high = None if end is None else -(-_micros(end, "end") // 1000)
    if low is not None and high is not None and low >= high:
        raise ConfigurationError(f"start must be before end; they are {start} and {end}")
    return low, high


def _micros(time: datetime, name: str) -> int:
    time = aware(time, name=name)
    return epoch_ms(time) * 1000 + time.microsecond % 1000


def _order(order: str) -> Order:
    return "asc" if choice(order, ORDERS, name="order") == "asc" else "desc"
