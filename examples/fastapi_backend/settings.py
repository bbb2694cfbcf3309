"""The backend's settings, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from iottly_async.integrations.fastapi import SessionDep
from iottly_async.resources import Project


@dataclass(frozen=True)
class Settings:
    """The project to show, and the webhooks' secret; None for the secret: no webhooks."""

    project_id: str
    webhook_secret: str | None = None

    @classmethod
    def from_env(cls) -> Settings:
        """Read ``IOTTLY_PROJECT`` and ``IOTTLY_WEBHOOK_SECRET``."""
        project_id = os.environ.get("IOTTLY_PROJECT")
        if not project_id:
            raise RuntimeError("IOTTLY_PROJECT is not set: the id of the project to show")
        return cls(project_id, os.environ.get("IOTTLY_WEBHOOK_SECRET") or None)


async def get_project(request: Request, session: SessionDep) -> Project:
    """The project, through the worker's session."""
    settings: Settings = request.app.state.settings
    return session.project(settings.project_id)


ProjectDep = Annotated[Project, Depends(get_project)]
