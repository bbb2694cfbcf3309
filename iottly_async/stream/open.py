"""Putting a stream together out of what a session has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from ..clock import Clock
from ..codec import MESSAGE_TYPES, choice
from ..config import Config, Seconds, seconds, whole
from ..errors import ConfigurationError
from ..models import CommandResult
from ..pipeline import Options, Pipeline
from ..resources import Project
from ..resources.given import several
from ..times import aware
from ..transport import Transport
from ..transport.websocket import WebSocketConnection, open_websocket
from ..wire import Answer, Request, Route
from .backfill import Backfill
from .buffer import OVERFLOWS, Overflow
from .protocol import DefaultStreamProtocol, StreamProtocol, Subscription
from .stream import Stream
from .supervisor import StreamSetup

_OVERTAKEN: Final = 0.5
"""Seconds that a frame which another overtook is waited for."""


def make_stream(
    pipeline: Pipeline,
    options: Options,
    clock: Clock,
    result: Callable[[str, float], Awaitable[CommandResult]],
    *,
    project: Project | None,
    devices: Iterable[str] | None,
    type: str,  # noqa: A002 - the API's own name
    since: datetime | None,
    fill_gaps: bool,
    settle: Seconds | None,
    lookback: Seconds | None,
    buffer: int,
    overflow: Overflow,
    heartbeat: Seconds,
    max_frame_bytes: int,
    protocol: StreamProtocol | None,
) -> Stream:
    """A stream that is not open yet; the arguments are those of `IottlySession.stream`.

    Raises:
        ConfigurationError: an argument is not as documented there.
    """
    config = pipeline.config
    choice(overflow, OVERFLOWS, name="overflow")
    wanted = Subscription(
        devices=_device_ids(devices), type=choice(type, MESSAGE_TYPES, name="type")
    )
    spoken: StreamProtocol = DefaultStreamProtocol() if protocol is None else protocol
    if not isinstance(spoken, StreamProtocol):
        raise ConfigurationError("protocol must have the methods of StreamProtocol")
    settled = config.settle if settle is None else seconds(settle, name="settle", zero=True)
    back = settled if lookback is None else seconds(lookback, name="lookback", zero=True)
    filler: Backfill | None = None
    if fill_gaps:
        if project is None:
            raise ConfigurationError("fill_gaps=True needs project_id, whose messages are walked")
        filler = Backfill(
            project.messages,
            _filled(project, wanted),
            type=wanted.type,
            settle=settled,
            lookback=back,
            clock=clock,
            pause=pipeline.pause,
            policy=config.retry,
        )
    wiring = StreamSetup(
        dial=_dialer(
            pipeline,
            options,
            spoken,
            heartbeat=seconds(heartbeat, name="heartbeat"),
            max_frame_bytes=whole(max_frame_bytes, name="max_frame_bytes", least=1024),
        ),
        protocol=spoken,
        wanted=wanted,
        policy=config.retry,
        clock=clock,
        pause=pipeline.pause,
        opening=config.attempt_timeout,
        patience=_OVERTAKEN,
        since=None if since is None else aware(since, name="since"),
    )
    return Stream(
        wiring,
        size=whole(buffer, name="buffer", least=1),
        overflow=overflow,
        filler=filler,
        hold=pipeline.hold,
        result=result,
    )


def _dialer(
    pipeline: Pipeline,
    options: Options,
    protocol: StreamProtocol,
    *,
    heartbeat: float,
    max_frame_bytes: int,
) -> Callable[[], Awaitable[WebSocketConnection]]:
    request: Request[Any] = Request(
        Route("stream", "GET", protocol.generation), protocol.path, lambda _: None
    )
    config: Config = pipeline.config

    async def upgrade(
        transport: Transport, headers: Any
    ) -> tuple[Answer, WebSocketConnection | None]:
        return await open_websocket(
            transport,
            headers,
            path=protocol.path,
            config=config,
            heartbeat=heartbeat,
            max_frame_bytes=max_frame_bytes,
        )

    async def dial() -> WebSocketConnection:
        return await pipeline.dial(request, options, upgrade)

    return dial


def _filled(project: Project, wanted: Subscription) -> Callable[[], Awaitable[Sequence[str]]]:
    """Which devices a gap concerns: those asked for, or all there are by then."""

    async def devices() -> Sequence[str]:
        if wanted.devices is not None:
            return wanted.devices
        return [device.id for device in await project.devices.list()]

    return devices


def _device_ids(devices: Iterable[str] | None) -> tuple[str, ...] | None:
    if devices is None:
        return None
    ids = tuple(several(devices, name="devices"))
    if not ids:
        raise ConfigurationError("devices is empty; None is all devices of the project")
    return ids
