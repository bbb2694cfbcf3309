"""Pages of messages as requests: what a walk fetches, and what `page` and `recent` ask."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ..codec import (
    MESSAGE_TYPES,
    ORDERS,
    choice,
    decode_history,
    decode_page,
    history_query,
    page_query,
    tie_filter,
)
from ..errors import ConfigurationError, DecodeError
from ..models import Message
from ..models._time import epoch_ms
from ..models.cursor import Order
from ..times import aware
from ..walk import Fetched, HistoryRequest, PageRequest, WalkQuery
from ..wire import Answer, Request, Route, segment, target
from .context import Context

_RECENT: Final = Route("messages.recent", "GET", "v1.0")
_PAGE: Final = Route("messages.page", "GET", "v1.0")


class Pages:
    """Fetches the messages of a project's devices, an answer at a time.

    Attributes:
        context: what every resource is given.
        project_id: whose messages.
    """

    def __init__(self, context: Context, project_id: str) -> None:
        self.context = context
        self.project_id = project_id
        self._path = ["project", segment(project_id, name="project_id")]
        self._last: tuple[str | None, str] = (None, "")

    async def fetch(self, page: PageRequest) -> Fetched:
        """One page for a walk; waiting for quota is not counted against the deadline."""
        return await self.context.requester.call(self.page(page), patient=True)

    async def history(self, tie: HistoryRequest) -> list[Message]:
        """Messages of one millisecond with their ids, for a walk; as patient as `fetch`."""
        wanted = tie_filter(tie.at, type=tie.type, after_id=tie.after_id, before_id=tie.before_id)
        request = self.recent(tie.device_id, tie.size, wanted)
        return await self.context.requester.call(request, patient=True)

    def page(self, page: PageRequest) -> Request[Fetched]:
        """The request of one page; an API's own 404 is an empty one (D4)."""
        config, device_id = self.context.config, page.device_id
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
        if self._last[0] != device_id:  # a walk asks for one device again and again
            device = segment(device_id, name="device_id")
            path = target("v1.0", [*self._path, "device", device, "messages", "paginated"])
            self._last = (device_id, path)

        def read(answer: Answer) -> Fetched:
            found = decode_page(answer.body, project_id=self.project_id, device_id=device_id)
            return Fetched(messages=_of(device_id, found), server_time=answer.server_time)

        return Request(_PAGE, f"{self._last[1]}?{query}", read, empty_on_404=_nothing)

    def recent(
        self, device_id: str, limit: int, query: Mapping[str, Any] | None
    ) -> Request[list[Message]]:
        """The request of the device's latest messages that match a filter.

        Raises:
            ConfigurationError: an argument that is not accepted.
        """
        path = [*self._path, "messages", segment(device_id, name="device_id")]

        def read(answer: Answer) -> list[Message]:
            found = decode_history(answer.body, project_id=self.project_id, device_id=device_id)
            return _of(device_id, found)

        return Request(_RECENT, target("v1.0", path, history_query(limit, query)), read)

    def query(
        self,
        device_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: str = "all",  # noqa: A002 - the API's own name
        order: str = "asc",
    ) -> WalkQuery:
        """The query of a walk, checked.

        Raises:
            ConfigurationError: an id that cannot stand in a path, a naive time, `start` not
                before `end`, an unknown type or order.
        """
        segment(device_id, name="device_id")
        low, high = bounds(start, end)
        return WalkQuery(
            project_id=self.project_id,
            device_id=device_id,
            type=choice(type, MESSAGE_TYPES, name="type"),
            order=checked_order(order),
            start=low,
            end=high,
        )


def _nothing(answer: Answer) -> Fetched:
    return Fetched(messages=[], server_time=answer.server_time)


def _of(device_id: str, messages: list[Message]) -> list[Message]:
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


def checked_order(order: str) -> Order:
    """`order`, if it is one.

    Raises:
        ConfigurationError: it is neither "asc" nor "desc".
    """
    return "asc" if choice(order, ORDERS, name="order") == "asc" else "desc"


def _micros(time: datetime, name: str) -> int:
    time = aware(time, name=name)
    return epoch_ms(time) * 1000 + time.microsecond % 1000
