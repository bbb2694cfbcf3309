"""Prints the messages of the vendor's open-source platform, whose WebSocket is another one.

    export IOTTLY_API_KEY=…  IOTTLY_BASE_URL=https://…  IOTTLY_PROJECT=…
    python examples/open_source_stream.py wss://…:8523/messages

The platform of 2017 sends its messages from another address than its API. The client names
its project on opening, and nothing answers. A frame holds several messages, of all devices,
with times as ``{"$date": milliseconds}``, and without numbers; other frames report progress and
registrations. `OpenSourceProtocol` is all that the library must know of it. Reconnects, the
filter by device, and the filling of gaps over REST work as with any other protocol.

It also shows how to replace the default protocol, should the vendor's present WebSocket differ
from what the library assumes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import aclosing

from iottly_async import IottlySession
from iottly_async.stream.protocol import (
    Credential,
    Frame,
    StreamProtocol,
    Subscription,
    message_frames,
)

LOG = logging.getLogger("open_source_stream")


class OpenSourceProtocol(StreamProtocol):
    """The WebSocket of the open-source platform.

    Args:
        address: the URL of the WebSocket.
        project_id: the project whose messages to receive.
        credential: where the API key is sent. None, the default, sends none: the platform
            asks for none here.
    """

    address = ""
    credential: Credential | None = None

    def __init__(
        self, address: str, project_id: str, *, credential: Credential | None = None
    ) -> None:
        self.address = address
        self.credential = credential
        self._project_id = project_id

    def opening(self, subscription: Subscription, key: str | None) -> Sequence[str | bytes]:
        """Name the project; nothing answers."""
        return [json.dumps({"projectid": self._project_id})]

    def read(self, data: str | bytes) -> Sequence[Frame]:
        """Read the messages of a frame."""
        return message_frames(data, "events", "msgs")


async def print_messages(
    session: IottlySession, address: str, project_id: str, devices: list[str] | None, settle: float
) -> None:
    """Print messages until cancelled, each once, with those that were sent between connections."""
    stream = session.stream(
        protocol=OpenSourceProtocol(address, project_id),
        project_id=project_id,
        devices=devices,
        fill_gaps=True,
        settle=settle,
    )
    async with stream:
        await stream.until_connected()
        LOG.info("connected")
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                print(message.timestamp.isoformat(), message.device_id, message.payload, flush=True)


async def main() -> None:
    """Print messages until a signal ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", help="URL of the WebSocket, such as wss://host:port/path")
    parser.add_argument("--project", default=os.environ.get("IOTTLY_PROJECT"))
    parser.add_argument("--device", action="append", help="a device's id; may be repeated")
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
        work = print_messages(session, given.address, given.project, given.device, given.settle)
        task = asyncio.create_task(work)
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # raises the error that ended the stream


if __name__ == "__main__":
    asyncio.run(main())
