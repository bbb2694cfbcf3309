"""Builds a stream from its options and the parts of a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..clock import Clock
from ..pipeline import Options, Pipeline
from ..resources import FleetCommands, Project
from ..transport import Transport
from ..transport.websocket import WebSocketConnection, open_websocket
from ..wire import Answer, Request, Route
from .backfill import Backfill
from .buffer import MessageBuffer
from .options import StreamOptions
from .stream import Stream
from .supervisor import Supervisor


def build_stream(
    options: StreamOptions,
    *,
    pipeline: Pipeline,
    call_options: Options,
    clock: Clock,
    project: Project | None,
    commands: FleetCommands,
) -> Stream:
    """A stream that is not connected yet.

    Args:
        options: the stream's options.
        pipeline: the session's pipeline.
        call_options: the session's timeout and priority, for opening connections.
        clock: the session's clock.
        project: the project whose messages fill gaps; used only if gaps are filled.
        commands: gets a command's result over HTTP if the connection ends before it.
    """
    config = pipeline.config
    buffer = MessageBuffer(options.buffer, options.overflow)
    supervisor = Supervisor(
        options,
        buffer,
        connect=_connector(options, pipeline, call_options),
        config=config,
        clock=clock,
        pause=pipeline.pause,
    )
    backfill = None
    if options.fill_gaps and project is not None:
        backfill = Backfill(project, options, clock=clock, pause=pipeline.pause, retry=config.retry)
    return Stream(supervisor, buffer, backfill, hold=pipeline.hold, commands=commands)


def _connector(
    options: StreamOptions, pipeline: Pipeline, call_options: Options
) -> Callable[[], Awaitable[WebSocketConnection]]:
    """A function that opens one connection, within the quota and with the session's key."""
    protocol = options.protocol
    request: Request[Any] = Request(
        Route("stream", "GET", protocol.generation), protocol.path, lambda _: None
    )

    async def upgrade(
        transport: Transport, headers: Mapping[str, str]
    ) -> tuple[Answer, WebSocketConnection | None]:
        return await open_websocket(
            transport,
            {**headers, **pipeline.key.headers(protocol.generation)},
            path=protocol.path,
            config=pipeline.config,
            heartbeat=options.heartbeat,
            max_frame_bytes=options.max_frame_bytes,
        )

    async def connect() -> WebSocketConnection:
        return await pipeline.dial(request, call_options, upgrade)

    return connect
