"""Carrying out a fault on the socket: what the client sees of it."""

import socket
import struct

from aiohttp import web

from ..faults import Fault
from .answers import code_of, error_body, json_answer

_PAGE = """<!DOCTYPE html>
<html><head><title>{status} Bad Gateway</title></head>
<body><h1>{status} Bad Gateway</h1><p>The proxy had no answer from upstream.</p></body></html>
"""
_GARBAGE = b'{"messages": [{"from": "3781de91-d446-4c64-825d-756dd60f2d'
_LINGER_ZERO = struct.pack("ii", 1, 0)


async def strike(
    fault: Fault,
    request: web.BaseRequest,
    answer: web.StreamResponse | None,
    generation: str | None,
    number: int,
) -> web.StreamResponse:
    """What goes out instead of ``answer`` (None: no handler has acted), for all kinds but a stall.

    For ``cut`` and ``reset`` the connection is gone when this returns.
    """
    match fault.kind:
        case "status":
            return _status(fault, generation, number)
        case "html":
            status = fault.status or 502
            page = _PAGE.format(status=status).encode()
            headers = dict(fault.headers)
            return web.Response(body=page, status=status, content_type="text/html", headers=headers)
        case "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json")
        case "empty":
            return web.Response(body=b"", content_type="application/json")
        case "cut":
            return await _cut(request, answer)
        case _:
            return _reset(request)


def _status(fault: Fault, generation: str | None, number: int) -> web.Response:
    status = fault.status or 500
    if fault.body is None:
        text = "a fault on command"
        answer = json_answer(error_body(generation, status, text, code_of(status), number), status)
    elif isinstance(fault.body, str | bytes):
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        answer = web.Response(body=body, status=status, content_type="application/json")
    else:
        answer = json_answer(fault.body, status)
    for name, value in fault.headers.items():
        answer.headers[name] = value
    return answer


async def _cut(request: web.BaseRequest, answer: web.StreamResponse | None) -> web.StreamResponse:
    whole = _GARBAGE * 4
    if isinstance(answer, web.Response) and isinstance(answer.body, bytes) and answer.body:
        whole = answer.body
    short = web.StreamResponse(status=200 if answer is None else answer.status)
    short.content_type = "application/json"
    short.content_length = len(whole)
    short.force_close()
    await short.prepare(request)
    if len(whole) > 1:
        await short.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()  # what was written still goes out, then the connection ends
    return short


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)  # RST, not FIN
        transport.abort()
    return web.Response(status=500)
