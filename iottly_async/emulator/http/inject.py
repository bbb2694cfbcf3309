"""Fault injection, the execution: what is sent instead of the usual answer."""

from aiohttp import web

from ..aio import reset_connection
from ..faults import Fault
from .answers import code_of, error_body, json_answer, proxy_page
from .call import Call

_GARBAGE = b'{"messages": [{"from": "3781de91-d446-4c64-825d-756dd60f2d'


async def inject(fault: Fault, call: Call, usual: web.StreamResponse | None) -> web.StreamResponse:
    """What is sent instead of the ``usual`` answer (None: no handler has run).

    Serves the kinds that replace the answer: not ``stall``, ``date`` and ``row``. After ``cut`` and
    ``reset`` the connection is closed.
    """
    match fault.kind:
        case "status":
            return _status(fault, call)
        case "html":
            return proxy_page(fault.status or 502, fault.headers)
        case "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json")
        case "empty":
            return web.Response(body=b"", content_type="application/json")
        case "cut":
            return await _cut(call.request, usual)
        case _:
            reset_connection(call.request.transport)
            return web.Response(status=500)


def _status(fault: Fault, call: Call) -> web.Response:
    status = fault.status or 500
    if fault.body is None:
        generation, number = call.record.generation, call.record.number
        body = error_body(generation, status, "an injected fault", code_of(status), number)
        answer = json_answer(body, status)
    elif isinstance(fault.body, str | bytes):
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        answer = web.Response(body=body, status=status, content_type="application/json")
    else:
        answer = json_answer(fault.body, status)
    answer.headers.update(fault.headers)
    return answer


async def _cut(request: web.BaseRequest, usual: web.StreamResponse | None) -> web.StreamResponse:
    whole = _GARBAGE * 4
    if isinstance(usual, web.Response) and isinstance(usual.body, bytes) and usual.body:
        whole = usual.body
    short = web.StreamResponse(status=200 if usual is None else usual.status)
    short.content_type = "application/json"
    short.content_length = len(whole)
    short.force_close()
    await short.prepare(request)
    if len(whole) > 1:
        await short.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()  # sends what was written before it closes the connection
    return short
