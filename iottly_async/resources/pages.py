"""Requests for messages: the pages of a walk, one page, and the latest messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import evolve

from ..codec import (
    MESSAGE_TYPES,
    check_times,
    choice,
    decode_history,
    decode_page,
    history_filter,
    history_query,
    page_query,
    tie_filter,
)
from ..errors import DecodeError
from ..models.row import MessageRow
from ..walk import Fetched, HistoryRequest, PageRequest, WalkQuery
from ..wire import Answer, Request, Route, segment, target
from .arguments import checked_order, time_range
from .context import Context

_RECENT: Final = Route("messages.recent", "GET", "v1.0", "project/{project}/messages/{device}")
PAGE: Final = Route(
    "messages.page", "GET", "v1.0", "project/{project}/device/{device}/messages/paginated"
)


class Pages:
    """Fetches messages of a project's devices, one answer at a time.

    Args:
        context: what every resource is given.
        project_id: the project's id.
    """

    def __init__(self, context: Context, project_id: str) -> None:
        self._requester = context.requester
        self._config = context.pipeline.config
        self._project_id = project_id
        self._path = ["project", segment(project_id, name="project_id")]
        self._last_path: tuple[str | None, str] = (None, "")

    async def fetch(self, page: PageRequest, *, patience: float) -> Fetched:
        """Fetch a page for a walk; `patience` is as in `Requester.call`."""
        return await self._requester.call(self.page_request(page, whole=False), patience=patience)

    async def history(self, tie: HistoryRequest, *, patience: float) -> list[MessageRow]:
        """Fetch messages of one millisecond with their ids, for a walk; no rows that are none."""
        query = tie_filter(tie.at, type=tie.type, after_id=tie.after_id, before_id=tie.before_id)
        request = self._history_request(tie.device_id, tie.size, query, whole=False)
        found = await self._requester.call(request, patience=patience)
        # A service that does not understand times in a filter answers other messages (D14).
        return [message for message in found if message.at == tie.at]

    def page_request(self, page: PageRequest, *, whole: bool = True) -> Request[Fetched]:
        """The request for one page. A 404 of the API itself is an empty page (D4).

        Args:
            page: which one.
            whole: whether a row that is no message is an error. Default True.
        """
        config, device_id = self._config, page.device_id
        # The first page is requested without a number, because it is 0 or 1 (D3).
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
        if self._last_path[0] != device_id:  # a walk requests many pages of one device
            device = segment(device_id, name="device_id")
            path = target("v1.0", [*self._path, "device", device, "messages", "paginated"])
            self._last_path = (device_id, path)

        def read(answer: Answer) -> Fetched:
            rows = decode_page(answer.body, project_id=self._project_id, device_id=device_id)
            found = rows.whole() if whole else rows.rows
            _check_device(device_id, found)
            return Fetched(messages=found, server_time=answer.server_time, bad_rows=rows.bad_rows)

        return Request(PAGE, f"{self._last_path[1]}?{query}", read, empty_on_404=_empty)

    def recent_request(
        self, device_id: str, limit: int, query: Mapping[str, Any] | None
    ) -> Request[list[MessageRow]]:
        """The request for a device's latest messages that match a filter, newest first.

        Raises:
            ConfigurationError: an argument is not accepted.
        """
        checked = history_filter(query)
        request = self._history_request(device_id, limit, checked)

        def read(answer: Answer) -> list[MessageRow]:
            found = request.read(answer)
            if checked is not None:
                check_times(checked, found)
            # Some services answer oldest first (D13). An id decides where times are equal, so
            # that the order does not depend on the answer's.
            return sorted(found, key=_time_and_id, reverse=True)

        return evolve(request, read=read)

    def _history_request(
        self, device_id: str, limit: int, query: Mapping[str, Any] | None, *, whole: bool = True
    ) -> Request[list[MessageRow]]:
        path = [*self._path, "messages", segment(device_id, name="device_id")]

        def read(answer: Answer) -> list[MessageRow]:
            rows = decode_history(answer.body, project_id=self._project_id, device_id=device_id)
            found = rows.whole() if whole else rows.rows
            _check_device(device_id, found)
            return found

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
        """The query of a walk, with its arguments checked.

        Raises:
            ConfigurationError: the id cannot stand in a path, a time is naive, `start` is
                not before `end`, or the type or the order is unknown.
        """
        segment(device_id, name="device_id")
        low, high = time_range(start, end)
        return WalkQuery(
            project_id=self._project_id,
            device_id=device_id,
            type=choice(type, MESSAGE_TYPES, name="type"),
            order=checked_order(order),
            start=low,
            end=high,
        )


def _time_and_id(message: MessageRow) -> tuple[datetime, str]:
    return message.time, message.id or ""


def _empty(answer: Answer) -> Fetched:
    return Fetched(messages=[], server_time=answer.server_time)


def _check_device(device_id: str, messages: list[MessageRow]) -> None:
    """Check that messages are of the requested device; an answer is of one device."""
    if messages and messages[0].device_id.casefold() != device_id.casefold():
        raise DecodeError("expected messages of the requested device", path="$.messages[0].from")
