"""`--dry-run`: shows the request of a command, and sends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..config import Config
from ..errors import BadRequestError
from ..session import IottlySession
from ..transport import Outgoing
from ..wire import Answer
from .console import say
from .output import Output

DEVICE_ID = "DEVICE_ID"
"""Stands for the id of a device that is given by another text."""


@asynccontextmanager
async def dry_session(config: Config, output: Output) -> AsyncIterator[IottlySession]:
    """Open a session that prints the first request instead of sending it.

    The block ends with that request. The key is not looked for; KEY stands in its place.

    Args:
        config: The settings.
        output: Prints the request as one record.

    Yields:
        The session.
    """
    recorder = _Recorder()
    try:
        async with IottlySession("KEY", config=config, http=recorder) as session:
            yield session
    except BadRequestError:  # the recorder's
        outgoing = recorder.outgoing
        if outgoing is None:
            raise
    else:
        return
    output.one(
        {
            "method": outgoing.method,
            "url": config.base_url + outgoing.target,
            "headers": {name: str(value) for name, value in outgoing.headers.items()},
            "body": _decoded(outgoing.body),
        }
    )
    say("nothing was sent: this is a dry run")


def say_looked_up(text: str) -> None:
    """Say that a device is not given by the id that the request needs."""
    say(f"{DEVICE_ID} stands for the id of {text!r}, which is looked up before")


class _Recorder:
    """A transport that keeps a request. It answers with an error, which ends the call."""

    def __init__(self) -> None:
        self.outgoing: Outgoing | None = None

    async def send(self, outgoing: Outgoing) -> Answer:
        self.outgoing = outgoing
        return Answer(400, {}, b'{"error": "dry run"}')

    async def aclose(self) -> None:
        """Nothing is open."""


def _decoded(body: bytes | None) -> Any:
    from msgspec.json import decode

    return None if body is None else decode(body)
