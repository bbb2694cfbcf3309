"""The messages of a project's devices: the latest, a page, and walks over a range."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..codec import MESSAGE_TYPES, choice
from ..config import whole
from ..models import Message, MessagePage
from ..models.cursor import Order
from ..walk import PageRequest
from ..walk.keyset.ties import number_duplicates
from .following import Follows
from .pages import bounds, checked_order
from .walks import TypeFilter

__all__ = ["Messages", "TypeFilter"]


class Messages(Follows):
    """The messages of a project's devices (v1.0, "Message History", "Paginated Messages")."""

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
        found = await self._context.requester.call(self._pages.recent(device_id, limit, query))
        return number_duplicates(found)

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
            order=checked_order(order),
            size=whole(size, name="size", least=1, most=100),
            number=None if whole(number, name="number", least=1) == 1 else number,
        )
        fetched = await self._context.requester.call(self._pages.page(request))
        return MessagePage(messages=tuple(number_duplicates(fetched.messages)))
