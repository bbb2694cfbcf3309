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
from .address import StreamAddress, opening_frames, opening_headers, opening_url, stream_address
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

    Raises:
        ConfigurationError: the address of the options' protocol is not accepted.
    """
    config, protocol = pipeline.config, options.protocol
    address = stream_address(protocol.address, config)
    buffer = MessageBuffer(options.buffer, options.overflow)
    supervisor = Supervisor(
        options,
        buffer,
        connect=connector(options, address, pipeline, call_options),
        opening=lambda: opening_frames(protocol, options.subscription, pipeline.key),
        config=config,
        clock=clock,
        pause=pipeline.pause,
    )
    backfill = None
    if options.fill_gaps and project is not None:
        patience = config.patience if options.patience is None else options.patience
        backfill = Backfill(project, options, patience=patience, clock=clock, pause=pipeline.pause)
    return Stream(supervisor, buffer, backfill, hold=pipeline.hold, commands=commands)


def connector(
    options: StreamOptions, address: StreamAddress, pipeline: Pipeline, call_options: Options
) -> Callable[[], Awaitable[WebSocketConnection]]:
    """Make a function that opens one connection.

    Args:
        options: the stream's options.
        address: of its protocol, checked.
        pipeline: the session's pipeline, whose key is sent. A connection to the service's host
            is opened within the quota.
        call_options: their timeout is the time that opening may take.
    """
    credential, key = options.protocol.credential, pipeline.key
    request: Request[Any] = Request(Route("stream", "GET", "v1"), address.target, lambda _: None)

    async def upgrade(
        transport: Transport, headers: Mapping[str, str]
    ) -> tuple[Answer, WebSocketConnection | None]:
        return await open_websocket(
            transport,
            {**headers, **opening_headers(credential, key)},
            url=opening_url(address, credential, key),
            config=pipeline.config,
            heartbeat=options.heartbeat,
            max_frame_bytes=options.max_frame_bytes,
            redact=key.hidden_in,
        )

    async def connect() -> WebSocketConnection:
        return await pipeline.dial(request, call_options, upgrade, metered=address.is_service)

    return connect
