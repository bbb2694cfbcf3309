"""The application: a session and a hub for each worker, the routes, and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from iottly_async import IottlySession, Message
from iottly_async.integrations.fastapi import PROBLEM_RESPONSE, install, lifespan, webhook_router

from . import devices, live
from .hub import Hub
from .settings import Settings


def create_app(
    settings: Settings | None = None, open_session: Callable[[], IottlySession] = IottlySession
) -> FastAPI:
    """Create the application; settings and session default to those of the environment."""
    settings = settings or Settings.from_env()

    @asynccontextmanager
    async def owner(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with lifespan(open_session)(app) as state:
            hub = Hub(state["iottly_session"], settings.project_id)
            app.state.hub = hub
            async with hub.running():
                yield {**state, "hub": hub}

    app = FastAPI(title="An Iottly project", lifespan=owner, responses=PROBLEM_RESPONSE)
    app.state.settings = settings
    install(app)
    app.include_router(devices.router)
    app.include_router(live.router)
    if settings.webhook_secret is not None:

        async def handle(message: Message) -> None:
            await app.state.hub.publish_once(message)

        app.include_router(webhook_router(handle, secret=settings.webhook_secret))
    app.mount("/page", StaticFiles(directory=live.PAGE), name="page")
    return app
