"""A service that watches a fleet and sends a command to a device that is too warm.

    export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
    python examples/service.py --limit 38

It reads the stream with `fill_gaps`, so that no reading is missed during a reconnect. When a
device passes the limit, it sends one command. It sends another one only after the device has
cooled down by two degrees. It ends cleanly on SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from contextlib import aclosing
from typing import Any

from iottly_async import (
    CommandOutcomeUnknownError,
    DecodeError,
    IottlyError,
    IottlySession,
    Message,
)

LOG = logging.getLogger("service")
HYSTERESIS = 2.0  # degrees below the limit before another command may be sent


class Watch:
    """Sends a command to each device that gets too warm."""

    def __init__(self, session: IottlySession, project_id: str, limit: float) -> None:
        self._commands = session.project(project_id).commands
        self._limit = limit
        self._warned: set[str] = set()

    async def handle(self, message: Message) -> None:
        """Handle one message, if it holds a temperature."""
        degrees = temperature(message)
        if degrees is None:
            return
        device = message.device_id
        if degrees >= self._limit and device not in self._warned:
            if await self._warn(device, degrees):
                self._warned.add(device)
        elif degrees < self._limit - HYSTERESIS:
            self._warned.discard(device)

    async def _warn(self, device: str, degrees: float) -> bool:
        """Send the command; False if the device surely did not get it."""
        try:
            await self._commands.send(device, "echo", {"content": f"too warm: {degrees:g}"})
        except CommandOutcomeUnknownError:
            # It may have arrived, so it is not sent again. The next command is sent when the
            # device has cooled down and passes the limit again.
            LOG.warning("%s is at %g, and may have got the command", device, degrees)
        except IottlyError as error:
            LOG.warning("%s is at %g, and did not get the command: %s", device, degrees, error)
            return False
        else:
            LOG.info("%s is at %g, and got the command", device, degrees)
        return True


def temperature(message: Message) -> float | None:
    """The temperature in a message; None if there is none."""
    try:
        payload: Any = message.payload
    except DecodeError:
        return None  # an invalid payload must not end the service
    reading = payload.get("sensor_data_reading") if isinstance(payload, dict) else None
    value = reading.get("temperature") if isinstance(reading, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


async def serve(session: IottlySession, project_id: str, limit: float, settle: float) -> None:
    """Watch until cancelled."""
    watch = Watch(session, project_id, limit)
    async with session.stream(project_id=project_id, fill_gaps=True, settle=settle) as stream:
        await stream.until_connected()
        LOG.info("listening, limit %g", limit)
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                await watch.handle(message)


async def main() -> None:
    """Run the service until a signal ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=float, default=38.0, help="degrees (default: 38)")
    parser.add_argument("--project", default=os.environ.get("IOTTLY_PROJECT"))
    parser.add_argument(
        "--settle",
        type=float,
        default=5.0,
        help="seconds after a gap before it is read, for late messages (default: 5)",
    )
    given = parser.parse_args()
    if not given.project:
        parser.error("--project or IOTTLY_PROJECT is needed")
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    async with IottlySession() as session:
        service = asyncio.create_task(serve(session, given.project, given.limit, given.settle))
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, service.cancel)
        await asyncio.wait([service])
        if not service.cancelled():
            service.result()  # raises the error that ended the stream, such as a revoked key
    LOG.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
