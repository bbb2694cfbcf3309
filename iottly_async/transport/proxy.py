"""Requests through a proxy: an unusable proxy setting, and a proxy that refuses.

A proxy comes from the environment (`Config.trust_env`) or from an aiohttp session of the
caller's. aiohttp takes an address without ``http://`` for a scheme of its own, speaks HTTP to
a SOCKS proxy, and reports a refused tunnel without the proxy's name (seen in 3.14.5).
"""

from __future__ import annotations

from typing import Final

import aiohttp
from yarl import URL

from ..errors import ProxyError, SetupError
from ..texts import without_secrets
from ..urls import parse_server_url
from .errors import os_reason

_SCHEMES: Final = ("http", "https")
_AUTHENTICATION_REQUIRED: Final = 407


async def through_proxy(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Check the proxy of a request, and translate its refusals. A middleware of aiohttp.

    Raises:
        SetupError: the proxy's address is not one; no byte was sent.
        ProxyError: the proxy refused, or there is no connection to it.
    """
    proxy = request.proxy
    if proxy is None:
        return await handler(request)
    if proxy.scheme not in _SCHEMES or parse_server_url(str(proxy)) is None:
        shown = without_secrets(str(proxy))[:120]
        raise SetupError(
            f"a proxy must be http://host[:port], not {shown!r}; it comes from the "
            f"environment ({request.url.scheme}_proxy) or from the aiohttp session given as http="
        )
    try:
        response = await handler(request)
    except aiohttp.ClientHttpProxyError as refused:
        error = _refusal(proxy, refused.status)
    except aiohttp.ClientConnectorError as lost:
        if not _is_of(proxy, lost):
            raise
        error = ProxyError(
            f"no connection to the proxy {_place(proxy)}: {os_reason(lost)}", sent="no"
        )
    else:
        if response.status != _AUTHENTICATION_REQUIRED:
            return response
        response.close()
        error = _refusal(proxy, response.status)
    raise error


def _refusal(proxy: URL, status: int) -> ProxyError:
    advice = ""
    if status == _AUTHENTICATION_REQUIRED:
        advice = "; it asks for a user and password, as http://user:password@host:port"
    return ProxyError(
        f"the proxy {_place(proxy)} refused a connection to the service (status {status}){advice}",
        status=status,
        sent="no",
    )


def _is_of(proxy: URL, error: aiohttp.ClientConnectorError) -> bool:
    """Whether the connection that failed is the one to the proxy, not one through it."""
    if isinstance(error, aiohttp.ClientSSLError):
        return False  # its own error names the place
    return (error.host, error.port) == (proxy.raw_host, proxy.port)


def _place(proxy: URL) -> str:
    """Host and port of a proxy, without user and password."""
    return f"{proxy.host}:{proxy.port}"
