"""The backend's settings, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from iottly_async import Cursor, CursorMismatchError
from iottly_async.integrations.fastapi import SessionDep
from iottly_async.resources import Project


@dataclass(frozen=True)
class Settings:
    """The project to show, and the secrets of webhooks and cursors.

    Without a webhooks' secret there are no webhooks. The cursors' secret is made anew by each
    process if there is none; several processes need the same one.
    """

    project_id: str
    webhook_secret: str | None = None
    cursor_secret: str = field(default_factory=token_hex, repr=False)

    @classmethod
    def from_env(cls) -> Settings:
        """Read ``IOTTLY_PROJECT``, ``IOTTLY_WEBHOOK_SECRET`` and ``IOTTLY_CURSOR_SECRET``."""
        project_id = os.environ.get("IOTTLY_PROJECT")
        if not project_id:
            raise RuntimeError("IOTTLY_PROJECT is not set: the id of the project to show")
        return cls(
            project_id,
            os.environ.get("IOTTLY_WEBHOOK_SECRET") or None,
            os.environ.get("IOTTLY_CURSOR_SECRET") or token_hex(),
        )


async def get_project(request: Request, session: SessionDep) -> Project:
    """The project, through the worker's session."""
    settings: Settings = request.app.state.settings
    return session.project(settings.project_id)


def get_cursor(request: Request, cursor: str | None = None) -> Cursor | None:
    """The cursor of the query, if this application has signed it."""
    if cursor is None:
        return None
    try:
        return Cursor.from_token(cursor, request.app.state.settings.cursor_secret)
    except CursorMismatchError as error:
        raise HTTPException(422, str(error)) from None


CursorDep = Annotated[Cursor | None, Depends(get_cursor)]
ProjectDep = Annotated[Project, Depends(get_project)]
