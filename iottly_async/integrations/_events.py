"""Messages as server-sent events of FastAPI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, Final

import attrs
from fastapi.encoders import jsonable_encoder
from fastapi.sse import ServerSentEvent
from pydantic import TypeAdapter

from ..errors import IottlyError
from ..models import Message, MessageBatch
from ._departure import close_with_request
from ._problems import problem_of

_write_message: Final = TypeAdapter(Message).dump_json


def message_events(
    source: AsyncIterable[Any], *, retry: int | None = 1000
) -> AsyncGenerator[ServerSentEvent, None]:
    """Messages as server-sent events, for a path operation that yields them::

        @app.get("/live/{device_id}", response_class=EventSourceResponse)
        async def live(device_id: str, session: SessionDep) -> AsyncIterator[ServerSentEvent]:
            messages = session.project(PROJECT).messages
            async for event in message_events(messages.follow(device_id)):
                yield event

    A `Message` becomes an event "message" with its key as id. A `MessageBatch` becomes
    one a message, the last of them with the batch's cursor as id: a browser that lost
    the connection hands it back as ``Last-Event-ID``, from where a walk goes on. A
    `ServerSentEvent` passes as it is; any other value becomes an event with the name of
    its class in lower case. An error of the library becomes an event "problem", and ends
    the events.

    Args:
        source: of messages, batches or both: `session.stream(...)`, `messages.follow(...)`,
            `messages.walk(...)`; asked for the next one when the last was taken, and closed
            at the end, if it can be: in an application with `install`, when the browser
            goes away.
        retry: milliseconds after which a browser connects again; None leaves it to the
            browser.
    """
    events = _events(source, retry)
    close_with_request(events)
    return events


async def _events(
    source: AsyncIterable[Any], retry: int | None
) -> AsyncGenerator[ServerSentEvent, None]:
    if retry is not None:
        yield ServerSentEvent(retry=retry)
    items = aiter(source)
    try:
        async for item in items:
            for event in _events_of(item):
                yield event
    except IottlyError as error:
        yield ServerSentEvent(event="problem", data=dict(problem_of(error).body))
    finally:
        for opened in (items, source):
            close = getattr(opened, "aclose", None)
            if close is not None:
                await close()


def _events_of(item: Any) -> list[ServerSentEvent]:
    if isinstance(item, Message):
        return [_event_of(item, item.key)]
    if isinstance(item, MessageBatch):
        last = len(item.messages) - 1
        cursor = item.cursor.to_json()
        return [
            _event_of(message, cursor if place == last else None)
            for place, message in enumerate(item.messages)
        ]
    if isinstance(item, ServerSentEvent):
        return [item]
    facts = attrs.asdict(item) if attrs.has(type(item)) else item
    return [ServerSentEvent(event=type(item).__name__.lower(), data=jsonable_encoder(facts))]


def _event_of(message: Message, identity: str | None) -> ServerSentEvent:
    return ServerSentEvent(event="message", raw_data=_write_message(message).decode(), id=identity)
