"""``/v1/stream``: the WebSocket of generation v1, with frames of our own making.

The vendor documents its purpose and not its frames (D9). Every frame is a JSON object in a text
message, with its kind in ``type``::

    client                                            server
    hello      version                                welcome     version, heartbeat, at
    subscribe  devices (a list or null), messages     subscribed  seq, at
                                                      message     seq, message
                                                      heartbeat   seq, at
    command    ref, device, command, timeout_s        accepted    ref, command_id, status
                                                      result      ref, and as GET commands/<id>
                                                      error       ref, error (as over HTTP)

``at`` is the server's time, ``seq`` the number of the last message sent on this connection, and
``heartbeat`` the most seconds that pass without a frame. Close codes: 4400 for a frame that is not
one of these, 4401 for a key that is no longer accepted.
"""

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

from ..rows import MESSAGE_TYPES, load_json
from ..streams import StreamConnection
from .answers import V1, HttpError, error_body
from .call import Call
from .fleet_api import take_command

VERSION = 1
BAD_FRAME = 4400
_MAX_FRAME = 1_048_576  # a subscription to some 25,000 devices


class _BadFrame(Exception):  # noqa: N818 - the client's fault
    """A frame that is none of those that a client may send."""


async def stream(call: Call) -> web.StreamResponse:
    """``GET stream``, upgraded; 426 for a request that is not."""
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
    """Send what waits, and a heartbeat where nothing did for long."""
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
    """Take in frames until the stream ends."""
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
            task = _take(call, connection, _read(message.data))
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
        raise _BadFrame("a frame is a JSON object")
    return frame


def _take(
    call: Call, connection: StreamConnection, frame: dict[str, Any]
) -> asyncio.Task[None] | None:
    """Answer one frame; a command's result takes a task of its own."""
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
            devices, kind = _wanted(frame)
            connection.subscribe(devices, kind)
            connection.put_json(
                {"type": "subscribed", "seq": connection.number, "at": streams.now_text()}
            )
            streams.count_subscription()
        case "command":
            return asyncio.create_task(_command(call, connection, frame))
        case other:
            raise _BadFrame(f"no frame is of type {other!r}")
    return None


def _wanted(frame: dict[str, Any]) -> tuple[frozenset[str] | None, str]:
    devices, kind = frame.get("devices"), frame.get("messages", "all")
    if kind not in MESSAGE_TYPES:
        raise _BadFrame(f"messages must be one of {', '.join(MESSAGE_TYPES)}")
    if devices is None:
        return None, kind
    if not isinstance(devices, list) or not all(isinstance(each, str) for each in devices):
        raise _BadFrame("devices must be a list of ids, or null")
    return frozenset(devices), kind


async def _command(call: Call, connection: StreamConnection, frame: dict[str, Any]) -> None:
    """Execute a command and send how it went, as the HTTP endpoints would say it."""
    ref, state = frame.get("ref"), call.state
    try:
        device = state.fleet.find(str(frame.get("device")))
    except KeyError:
        refusal = HttpError(404, "There is no such device.", code="device_not_found")
        connection.put_json(_refused(ref, refusal, call.record.number))
        return
    body: dict[str, Any] = {name: frame[name] for name in ("command", "timeout_s") if name in frame}
    try:
        execution = take_command(state, device, body)
    except HttpError as refusal:
        connection.put_json(_refused(ref, refusal, call.record.number))
        return
    connection.put_json(
        {"type": "accepted", "ref": ref, "command_id": execution.id, "status": "pending"}
    )
    # Progress follows the server's clock, which may be moved: there is no event to wait for.
    while (progress := execution.as_json(state.clock.now_ms()))["status"] != "completed":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    connection.put_json({"type": "result", "ref": ref, **progress})


def _refused(ref: object, refusal: HttpError, number: int) -> dict[str, Any]:
    error = error_body(V1, refusal.status, refusal.text, refusal.code, number)
    return {"type": "error", "ref": ref, "status": refusal.status, **error}
