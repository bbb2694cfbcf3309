"""``/v1/stream``: the WebSocket of generation v1, with frames of our own design (D9).

The vendor's page on it could not be read. Every frame is a text with a JSON object, and ``type``
says its kind. The client sends:

- ``hello`` with ``version``; answered by ``welcome`` with ``version``, ``heartbeat``, ``at``.
- ``subscribe`` with ``devices`` (a list, or null for all) and ``messages`` (a type); answered by
  ``subscribed`` with ``seq`` and ``at``.
- ``command`` with ``ref``, ``device``, ``command`` and ``timeout_s``; answered by ``accepted`` with
  ``ref``, ``command_id`` and ``status`` and then ``result`` with ``ref`` and the fields of
  ``GET commands/<id>``, or by ``error`` with ``ref``, ``status`` and ``error`` (as over HTTP).

The server also sends ``message`` with ``seq`` and ``message``, and ``heartbeat`` with ``seq`` and
``at`` if it had nothing to send for ``heartbeat`` seconds. ``at`` is the server's time and ``seq``
the number of the last message on this connection. The server closes the stream with code 4400
after a frame that is none of these.
"""

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

from ..rows import MESSAGE_TYPES, load_json
from ..streams import StreamConnection
from .answers import V1, HttpError, error_body
from .call import Call
from .fleet_api import accept_command

VERSION = 1
BAD_FRAME = 4400
_MAX_FRAME = 1_048_576  # bytes: a subscription to some 25,000 devices


class _BadFrame(Exception):  # noqa: N818 - the client is wrong
    """A frame that a client may not send; the stream is closed with code 4400."""


async def stream(call: Call) -> web.StreamResponse:
    """``GET stream``: the WebSocket; 426 for a request that is no upgrade."""
    request, streams = call.request, call.state.streams
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise HttpError(426, "This address speaks WebSocket.", headers={"Upgrade": "websocket"})
    ws = web.WebSocketResponse(autoping=False, max_msg_size=_MAX_FRAME, timeout=0.5, compress=False)
    await ws.prepare(request)
    call.record.status = 101
    connection = StreamConnection(ws, request.transport)
    streams.add(connection)
    sender = asyncio.create_task(_send(call, connection))
    commands: set[asyncio.Task[None]] = set()
    try:
        await _receive(call, connection, commands)
    except _BadFrame as wrong:
        await ws.close(code=BAD_FRAME, message=str(wrong).encode()[:120])
    finally:
        streams.remove(connection)
        for task in (sender, *commands):
            task.cancel()
        await asyncio.gather(sender, *commands, return_exceptions=True)
    return ws


async def _send(call: Call, connection: StreamConnection) -> None:
    """Send frames as they are queued, and a heartbeat after a silent while."""
    streams, ws = call.state.streams, connection.ws
    while not ws.closed:
        frames = await connection.next_frames(streams.heartbeat)
        if not frames:
            beat = {"type": "heartbeat", "seq": connection.number, "at": streams.now_text()}
            frames = [json.dumps(beat)]
        try:
            for frame in frames:
                await ws.send_str(frame)
        except OSError:
            return


async def _receive(
    call: Call, connection: StreamConnection, commands: set[asyncio.Task[None]]
) -> None:
    """Handle the client's frames until the stream closes."""
    ws = connection.ws
    while True:
        message = await ws.receive()
        await connection.until_running()
        if message.type is WSMsgType.PING:
            try:
                await ws.pong(message.data)
            except OSError:
                return
        elif message.type is WSMsgType.TEXT:
            task = _handle_frame(call, connection, _read(message.data))
            if task is not None:
                commands.add(task)
                task.add_done_callback(commands.discard)
        elif message.type is not WSMsgType.PONG:
            return


def _read(text: str) -> dict[str, Any]:
    try:
        frame = load_json(text)
    except ValueError:
        frame = None
    if not isinstance(frame, dict):
        raise _BadFrame("a frame must be a JSON object")
    return frame


def _handle_frame(
    call: Call, connection: StreamConnection, frame: dict[str, Any]
) -> asyncio.Task[None] | None:
    """Handle one frame; returns a task if it is a command, which is answered later."""
    streams = call.state.streams
    match frame.get("type"):
        case "hello":
            if frame.get("version") != VERSION:
                raise _BadFrame(f"version must be {VERSION}")
            connection.put_json(
                {
                    "type": "welcome",
                    "version": VERSION,
                    "heartbeat": streams.heartbeat,
                    "at": streams.now_text(),
                }
            )
        case "subscribe":
            devices, kind = _read_subscription(frame)
            connection.subscribe(devices, kind)
            connection.put_json(
                {"type": "subscribed", "seq": connection.number, "at": streams.now_text()}
            )
            streams.count_subscription()
        case "command":
            return asyncio.create_task(_command(call, connection, frame))
        case other:
            raise _BadFrame(f"unknown frame type {other!r}")
    return None


def _read_subscription(frame: dict[str, Any]) -> tuple[frozenset[str] | None, str]:
    """The devices (None: all) and the type of a subscription."""
    devices, kind = frame.get("devices"), frame.get("messages", "all")
    if kind not in MESSAGE_TYPES:
        raise _BadFrame(f"messages must be one of {', '.join(MESSAGE_TYPES)}")
    if devices is None:
        return None, kind
    if not isinstance(devices, list) or not all(isinstance(each, str) for each in devices):
        raise _BadFrame("devices must be a list of ids, or null")
    return frozenset(devices), kind


async def _command(call: Call, connection: StreamConnection, frame: dict[str, Any]) -> None:
    """Execute a command and send its result, or its error as HTTP would say it."""
    ref, state = frame.get("ref"), call.state
    try:
        device = state.fleet.find(str(frame.get("device")))
    except KeyError:
        error = HttpError(404, "There is no such device.", code="device_not_found")
        connection.put_json(_error_frame(ref, error, call.record.number))
        return
    body: dict[str, Any] = {name: frame[name] for name in ("command", "timeout_s") if name in frame}
    try:
        execution = accept_command(state, device, body)
    except HttpError as error:
        connection.put_json(_error_frame(ref, error, call.record.number))
        return
    connection.put_json(
        {"type": "accepted", "ref": ref, "command_id": execution.id, "status": "pending"}
    )
    # Polled, because progress follows the server's clock, which may be pinned or moved.
    while (progress := execution.as_json(state.clock.now_ms()))["status"] != "completed":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    connection.put_json({"type": "result", "ref": ref, **progress})


def _error_frame(ref: object, error: HttpError, number: int) -> dict[str, Any]:
    body = error_body(V1, error.status, error.text, error.code, number)
    return {"type": "error", "ref": ref, "status": error.status, **body}
