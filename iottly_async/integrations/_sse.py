"""Messages as server-sent events, for FastAPI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, Final

from fastapi.encoders import jsonable_encoder
from fastapi.sse import ServerSentEvent
from pydantic import TypeAdapter

from ..errors import IottlyError
from ..models import Message, MessageBatch
from ._disconnect import close_with_request
from ._problem_details import problem_of

_to_json: Final = TypeAdapter(Message).dump_json


def message_events(
    source: AsyncIterable[Any], *, retry: int | None = 1000
) -> AsyncGenerator[ServerSentEvent, None]:
    """Turn messages into server-sent events.

    Each value of the source becomes events by its type:

    - A `Message` becomes an event "message" with the message's key as its id.
    - A `MessageBatch` becomes one event "message" for each message. The last of them has the
      batch's cursor as its id. A browser that reconnects sends it back in the header
      ``Last-Event-ID``, and a walk can continue from there.
    - A `ServerSentEvent` is passed on as it is.
    - Any other value, such as a `Gap`, becomes an event with the name of its class in lower
      case.

    An `IottlyError` becomes an event "problem", which is the last one.

    Example:
        ```python
        @app.get("/live/{device_id}", response_class=EventSourceResponse)
        async def live(device_id: str, session: SessionDep) -> AsyncIterator[ServerSentEvent]:
            messages = session.project(PROJECT).messages
            async for event in message_events(messages.follow(device_id)):
                yield event
        ```

    Args:
        source: yields messages, batches or both, such as `session.stream(...)`,
            `messages.follow(...)` or `messages.walk(...)`. The next value is requested only
            when the last event was taken. The source is closed at the end if it has an
            `aclose`; in an application with `install`, also when the browser disconnects.
        retry: milliseconds after which a browser reconnects. None leaves this to the
            browser. Default 1000.

    Yields:
        A `ServerSentEvent`. The first one holds `retry` alone, unless that is None.
    """
    events = _events(source, retry)
    close_with_request(events)
    return events


async def _events(
    source: AsyncIterable[Any], retry: int | None
) -> AsyncGenerator[ServerSentEvent, None]:
    if retry is not None:
        yield ServerSentEvent(retry=retry)
    values = aiter(source)
    try:
        async for value in values:
            for event in _events_of(value):
                yield event
    except IottlyError as error:
        yield ServerSentEvent(event="problem", data=dict(problem_of(error).body))
    finally:
        for opened in (values, source):
            close = getattr(opened, "aclose", None)
            if close is not None:
                await close()


def _events_of(value: Any) -> list[ServerSentEvent]:
    if isinstance(value, Message):
        return [_message_event(value, value.key)]
    if isinstance(value, MessageBatch):
        last = len(value.messages) - 1
        cursor = value.cursor.to_json()
        return [
            _message_event(message, cursor if index == last else None)
            for index, message in enumerate(value.messages)
        ]
    if isinstance(value, ServerSentEvent):
        return [value]
    return [ServerSentEvent(event=type(value).__name__.lower(), data=jsonable_encoder(value))]


def _message_event(message: Message, id_: str | None) -> ServerSentEvent:
    return ServerSentEvent(event="message", raw_data=_to_json(message).decode(), id=id_)
