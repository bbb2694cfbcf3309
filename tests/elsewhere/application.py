"""The application that servers serve: one route, and the webhooks."""

import os

from fastapi import FastAPI

from iottly_async import Device, Message
from iottly_async.integrations.fastapi import SessionDep, install, lifespan, webhook_router

SECRET = "a-secret-of-webhooks"

app = FastAPI(lifespan=lifespan())
install(app)


@app.get("/devices")
async def devices(session: SessionDep) -> list[Device]:
    """The devices of the project."""
    return await session.project(os.environ["IOTTLY_PROJECT"]).devices.list()


async def _handle(message: Message) -> None:
    """Accept every message."""


app.include_router(webhook_router(_handle, secret=SECRET))
