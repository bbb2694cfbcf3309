"""The live page and its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from iottly_async.integrations.fastapi import message_events

from .hub import Hub

PAGE = Path(__file__).parent / "page"
router = APIRouter()


async def get_hub(request: Request) -> Hub:
    """The worker's hub."""
    hub: Hub = request.state.hub
    return hub


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The live page."""
    # No foreign and no inline scripts, so that no payload of a device can run as one.
    policy = "default-src 'self'; img-src 'self' data:"
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": policy})


@router.get("/api/live", response_class=EventSourceResponse, tags=["live"])
async def live(hub: Annotated[Hub, Depends(get_hub)]) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `fleet` and `status` first and on changes, `message`, and `gap`."""
    async for event in message_events(_events(hub)):
        yield event


async def _events(hub: Hub) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(hub.events()) as events:
        async for name, data, identity in events:
            yield ServerSentEvent(event=name, raw_data=data, id=identity)
