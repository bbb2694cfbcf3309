"""The messages of a project's devices: the latest ones, one page, walks, and following."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..codec import MESSAGE_TYPES, choice
from ..config import whole
from ..models import Message, MessagePage
from ..models.cursor import Order
from ..models.message import messages_of
from ..walk import PageRequest
from ..walk.keyset.ties import number_duplicates
from .arguments import checked_order, time_range
from .columns import ColumnWalks
from .following import Follows
from .walks import TypeFilter

__all__ = ["Messages", "TypeFilter"]


class Messages(ColumnWalks, Follows):
    """The messages of a project's devices, as `project.messages`.

    - `recent` and `page` make one request each.
    - `walk` and `batches` read a whole range of one device, `walk_many` and `batches_many`
      of many devices.
    - `arrow`, `arrow_many` and `to_arrow` read the same as Arrow columns.
    - `follow` and `follow_many` yield new messages as they come.

    (v1.0, "Message History" and "Paginated Messages".)
    """

    async def recent(
        self, device_id: str, *, limit: int = 10, query: Mapping[str, Any] | None = None
    ) -> list[Message]:
        """Fetch a device's latest messages.

        Args:
            device_id: the device's id.
            limit: messages at most, 1 to 100. Default 10.
            query: a MongoDB filter over the field names of stored messages, such as
                ``{"type": "userdefined"}``. Aware datetimes in it are sent as ``$date``, which
                the service may not understand: a range then matches nothing (D14). For a
                range of time use `walk` with `start` and `end`. The names ``from`` and ``to``
                are refused, as they may replace the device or the project. None (the default)
                filters nothing.

        Returns:
            Messages, newest first in whichever order they came (D13), each with its `id`.

        Raises:
            ConfigurationError: an argument is not as above; nothing was sent.
            BadRequestError: the service does not accept the filter.
            DecodeError: a message lies outside a bound of the filter on ``timestamp``, so the
                service did not understand the bound.

        Example:
            ```python
            for message in await project.messages.recent(device_id, limit=3):
                print(message.timestamp, message.payload)
            ```
        """
        request = self._pages.recent_request(device_id, limit, query)
        found = await self._context.requester.call(request)
        return messages_of(number_duplicates(found))

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
        """Fetch one page, as the endpoint gives it.

        Page numbers shift while messages arrive. To read a range, use `walk` or `batches`.

        Args:
            device_id: the device's id.
            number: of the page; 1 (the default) is the first one, whichever number it has
                at the service (D3).
            size: messages a page, 1 to 100. Default 50.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before this moment. None (the default) ends with
                the newest message.
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "desc" (the default), newest first, or "asc", oldest first.

        Returns:
            The page; it has no messages if none matches (D4).

        Raises:
            ConfigurationError: an argument is not as above; nothing was sent.

        Example:
            ```python
            page = await project.messages.page(device_id, size=20)
            print(len(page.messages))
            ```
        """
        low, high = time_range(start, end)
        request = PageRequest(
            device_id=device_id,
            start=low,
            end=high,
            type=choice(type, MESSAGE_TYPES, name="type"),
            order=checked_order(order),
            size=whole(size, name="size", least=1, most=100),
            number=None if whole(number, name="number", least=1) == 1 else number,
        )
        fetched = await self._context.requester.call(self._pages.page_request(request))
        rows = number_duplicates(fetched.messages)
        return MessagePage(messages=tuple(messages_of(rows)))
