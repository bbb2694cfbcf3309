"""A service that watches a fleet and tells a device when it gets too warm.

    export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
    python examples/service.py --limit 38

It listens to the stream, gaps filled, so that no reading is missed while the connection
was away; sends a command once when a device passes the limit, and is ready to send
another when it has cooled down by two degrees; and ends cleanly on SIGINT and SIGTERM.
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
COOLED = 2.0  # degrees below the limit, so that a value that trembles sends one command


class Watch:
    """Which devices are too warm, and what is done about it."""

    def __init__(self, session: IottlySession, project_id: str, limit: float) -> None:
        self._commands = session.project(project_id).commands
        self._limit = limit
        self._told: set[str] = set()

    async def look(self, message: Message) -> None:
        """React to one message, if it holds a temperature."""
        degrees = temperature(message)
        if degrees is None:
            return
        device = message.device_id
        if degrees >= self._limit and device not in self._told:
            if await self._tell(device, degrees):
                self._told.add(device)
        elif degrees < self._limit - COOLED:
            self._told.discard(device)

    async def _tell(self, device: str, degrees: float) -> bool:
        """Send the command; whether the device has it, or may have it."""
        try:
            await self._commands.send(device, "echo", {"content": f"too warm: {degrees:g}"})
        except CommandOutcomeUnknownError:
            # It may have arrived. The library does not send it again, and neither do we:
            # the next reading above the limit, after a cooler one, is another occasion.
            LOG.warning("%s is at %g, and may have been told", device, degrees)
        except IottlyError as error:
            LOG.warning("%s is at %g, and was not told: %s", device, degrees, error)
            return False
        else:
            LOG.info("%s is at %g, and was told", device, degrees)
        return True


def temperature(message: Message) -> float | None:
    """The reading in a message; None where it holds none."""
    try:
        payload: Any = message.payload
    except DecodeError:
        return None  # no JSON: a device's own fault, and no reason to end the service
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
                await watch.look(message)


async def main() -> None:
    """Run the service until a signal ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=float, default=38.0, help="degrees (default: 38)")
    parser.add_argument("--project", default=os.environ.get("IOTTLY_PROJECT"))
    parser.add_argument(
        "--settle",
        type=float,
        default=5.0,
        help="seconds after a break in which the cloud may show messages late (default: 5)",
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
            service.result()  # the stream ended for good, as by a key that was revoked
    LOG.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
