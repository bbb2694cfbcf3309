"""An ASGI application on a real loopback socket, in the test's own event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def serving(
    app: Any, *, port: int = 0, patience: int = 1, **settings: Any
) -> AsyncIterator[str]:
    """Serve `app` as long as the block lasts, with its lifespan; yields the address.

    Requests that still run at the end get `patience` seconds.
    """
    sock = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        app, lifespan="on", log_level="warning", timeout_graceful_shutdown=patience, **settings
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([sock]))
    try:
        while not server.started:
            if running.done():
                await running
            await asyncio.sleep(0)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        sock.close()
