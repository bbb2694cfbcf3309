"""Answers and errors, in the shape of the request's generation."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from ..rows import dump_json

V1 = "v1"
V1_0 = "v1.0"

_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "body_too_large",
    421: "wrong_host",
    429: "rate_limited",
    500: "internal_error",
    502: "bad_gateway",
    503: "unavailable",
    504: "timeout",
}


_PAGE = """<!DOCTYPE html>
<html><head><title>{status} {phrase}</title></head>
<body><h1>{status} {phrase}</h1><p>The proxy had no answer from upstream.</p></body></html>
"""
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class HttpError(Exception):
    """Raised by a handler to answer with an error: a status, a text for people, and a v1 code."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code or _CODES.get(status, "error")
        self.headers = dict(headers or {})


def json_answer(value: object, status: int = 200) -> web.Response:
    """An answer with a JSON value."""
    return raw_answer(dump_json(value), status)


def raw_answer(text: str, status: int = 200) -> web.Response:
    """An answer whose JSON text is already written."""
    return web.Response(body=text.encode(), status=status, content_type="application/json")


def error_body(generation: str | None, status: int, text: str, code: str, number: int) -> Any:
    """The error shape of a generation; on v1 the request's ``number`` makes the ``request_id``."""
    if generation == V1:
        return {"error": {"code": code, "message": text, "request_id": f"req_{number:012x}"}}
    return {"error": text}


def error_answer(generation: str | None, refusal: HttpError, number: int) -> web.Response:
    """The answer to a request that ended with an error."""
    body = error_body(generation, refusal.status, refusal.text, refusal.code, number)
    answer = json_answer(body, refusal.status)
    answer.headers.update(refusal.headers)
    return answer


def proxy_page(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """The HTML page with which a proxy answers instead of the API."""
    page = _PAGE.format(status=status, phrase=_PHRASES.get(status, "Error"))
    return web.Response(
        body=page.encode(), status=status, content_type="text/html", headers=dict(headers or {})
    )


def code_of(status: int) -> str:
    """The v1 error code that belongs to a status."""
    return _CODES.get(status, "error")
