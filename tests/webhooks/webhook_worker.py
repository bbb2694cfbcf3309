"""A worker process for the tests of `RedisSeenKeys`: receives webhooks and notes what it handles.

Run it as ``python -m tests.webhooks.webhook_worker REDIS_URL LEASE FILE``. It prints its URL. A
message with ``{"wait": true}`` is begun and never ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from fastapi import FastAPI

from iottly_async import Message
from iottly_async.integrations.fastapi import webhook_router
from iottly_async.webhooks import RedisSeenKeys
from tests.support.serving import serving

SECRET = "a-shared-secret"


async def main(redis_url: str, lease: float, file: Path) -> None:
    """Serve until the process is killed."""
    # Short lines that are appended by one call do not mix.
    log = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle(message: Message) -> None:
        if message.payload.get("wait"):
            os.write(log, f"begun {message.key}\n".encode())
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        os.write(log, f"handled {message.key}\n".encode())

    app = FastAPI()
    seen = RedisSeenKeys(redis_url, lease=lease)
    app.include_router(webhook_router(handle, secret=SECRET, seen=seen))
    async with seen, serving(app) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])))
