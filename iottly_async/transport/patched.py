"""What mocks and tracers have replaced in aiohttp, so that no request goes round a mock.

Requests over connections of our own (`pooled`) do not use aiohttp's session class. If a tool has
replaced a method of that class or of the connector, requests go through an aiohttp session
instead, by the method that was replaced. If nothing that a mock could see is left, or if its
answer cannot be read, the call fails with an error, and the service gets no request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from operator import attrgetter, is_not
from types import FunctionType
from typing import Any, Final

import aiohttp
from aiohttp import ClientResponse, ClientSession, StreamReader, TCPConnector

from ..errors import SetupError
from ..wire import Method

_INSTEAD: Final = (
    "Use the emulator (iottly_async.emulator), a mock that answers with aiohttp's responses, such "
    "as aiointercept or vcrpy, or a Transport of your own as http="
)
_session_methods: Final = attrgetter("__init__", "_request", "request", "get", "put", "post")
_connector_methods: Final = attrgetter("connect", "_get", "_resolve_host", "_get_ssl_context")


def aiohttp_is_patched() -> bool:
    """Whether a mock or a tracer has replaced a part of aiohttp that requests use.

    Raises:
        SetupError: the session class itself is replaced; nothing was sent.
    """
    check_session_class()
    found = _methods()
    # By identity: a wrapper may say that it equals what it wraps.
    return any(map(is_not, found, _UNPATCHED)) and not all(map(_is_own, found))


def check_session_class() -> None:
    """Refuse to send while another object stands in the place of aiohttp's session class.

    Raises:
        SetupError: it does; nothing was sent.
    """
    for found in (aiohttp.ClientSession, aiohttp.client.ClientSession):
        if found is not ClientSession:
            raise SetupError(
                f"aiohttp.ClientSession was replaced by another object ({type(found).__name__}), "
                f"which would not see the requests; nothing was sent. {_INSTEAD}"
            )


def sender(session: ClientSession, method: Method) -> Callable[..., Any]:
    """The method of a session that sends a request; its first argument is the URL.

    It is that of the verb, such as `get`, if a tool has replaced it, in the class or in the
    object; otherwise `request`.
    """
    verb = method.lower()
    if verb in vars(session) or not _is_own(getattr(ClientSession, verb)):
        found: Callable[..., Any] = getattr(session, verb)
        return found
    return lambda url, **options: session.request(method, url, **options)


async def response_of(sending: object) -> ClientResponse:
    """Wait for the response of a session that may be a mock.

    Raises:
        SetupError: what the mock returns is no response.
    """
    response: Any = await sending if isawaitable(sending) else sending
    kind = type(response)
    readable = issubclass(kind, ClientResponse) or (
        isinstance(getattr(response, "status", None), int)
        and isinstance(getattr(response, "content", None), StreamReader | asyncio.StreamReader)
    )
    if readable:
        found: ClientResponse = response
        return found
    raise SetupError(
        f"aiohttp's session is mocked, and its answer ({kind.__name__}) is no response: it has no "
        f"status that is a number, or no content that is a StreamReader. {_INSTEAD}"
    )


def _methods() -> tuple[Any, ...]:
    return (*_session_methods(ClientSession), *_connector_methods(TCPConnector))


def _is_own(function: object) -> bool:
    """Whether a function is aiohttp's; wrappers copy its name and module, but not its globals."""
    if type(function) is not FunctionType:
        return False
    known = function.__globals__
    return known is vars(aiohttp.client) or known is vars(aiohttp.connector)


# Every request asks, so as a rule it only compares with these.
_UNPATCHED: Final = tuple(method if _is_own(method) else None for method in _methods())
