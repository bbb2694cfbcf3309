"""The API of the backend: devices, their history, and commands."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from iottly_async import Device, Message, Quota
from iottly_async.integrations.fastapi import SessionDep

from .settings import CursorDep, ProjectDep

router = APIRouter(prefix="/api", tags=["devices"])


class History(BaseModel):
    """One page of a history. `cursor` is where the next page starts; None at the end."""

    messages: list[Message]
    cursor: str | None


class CommandIn(BaseModel):
    """A command: a type that the project declares, and its parameters."""

    type: str = Field(min_length=1, max_length=100, examples=["echo"])
    values: dict[str, Any] = Field(default_factory=dict, examples=[{"content": "hi"}])


@router.get("/devices", response_model_exclude={"__all__": {"token"}})
async def devices(project: ProjectDep) -> list[Device]:
    """All devices of the project, without their licence tokens."""
    return await project.devices.list()


@router.get("/devices/{device_id}", response_model_exclude={"token"})
async def device(device_id: str, project: ProjectDep) -> Device:
    """One device, without its licence token."""
    return await project.devices.get(device_id)


@router.get("/devices/{device_id}/recent")
async def recent(
    device_id: str, project: ProjectDep, limit: Annotated[int, Query(ge=1, le=100)] = 100
) -> list[Message]:
    """The latest messages, newest first. It costs one request to the service."""
    return await project.messages.recent(device_id, limit=limit)


@router.get("/devices/{device_id}/messages")
async def history(
    device_id: str,
    project: ProjectDep,
    request: Request,
    response: Response,
    cursor: CursorDep,
    start: datetime | None = None,
    end: datetime | None = None,
    at_least: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> History:
    """Messages in order of time, page by page.

    Send the page's cursor in the next request to get the next page, or follow the header
    `Link`. No message is lost or repeated between pages, whatever arrives in between. A page
    may have up to 100 messages more than `at_least`, because it ends with a page of the
    service. The cursor is signed, so that no one can make one that costs many requests.
    """
    messages: list[Message] = []
    walk = project.messages.batches(device_id, start=start, end=end, cursor=cursor)
    async with aclosing(walk) as batches:
        async for batch in batches:
            messages += batch.messages
            cursor = batch.cursor
            if len(messages) >= at_least:
                break
        else:
            cursor = None
    if cursor is not None and not cursor.finished:
        token = cursor.to_token(request.app.state.settings.cursor_secret)
        following = request.url.include_query_params(cursor=token)
        response.headers["Link"] = f'<{following}>; rel="next"'
        return History(messages=messages, cursor=token)
    return History(messages=messages, cursor=None)


@router.post("/devices/{device_id}/commands", status_code=202)
async def command(device_id: str, body: CommandIn, project: ProjectDep) -> None:
    """Send a command. It is never sent twice, also if its outcome is unknown."""
    await project.commands.send(device_id, body.type, body.values)


@router.get("/quota")
async def quota(session: SessionDep) -> Quota:
    """The key's quota as the session knows it. It costs no request."""
    return session.quota
