"""aiohttp's errors into ours: the class and whether the request was sent, nothing else.

An error says ``sent="no"`` only if it happens before a byte is written: resolving the name,
connecting, TLS, a connection that closed before the request. Any other says "maybe".
"""

from __future__ import annotations

import os
import socket
from typing import Final

import aiohttp

from ..errors import (
    ConnectError,
    ConnectionLostError,
    IottlyError,
    ProtocolError,
    SetupError,
    TLSError,
    TruncatedResponseError,
)
from .attempt import Outgoing
from .connection import LostError, UnusableError

_NO_SUCH_HOST: Final = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}
"""Not EAI_AGAIN, which passes. EAI_NODATA does not exist on every system."""


def translated(foreign: Exception, outgoing: Outgoing) -> IottlyError:
    """Our error for an error of aiohttp's; no text of aiohttp's is taken over."""
    if isinstance(foreign, IottlyError):
        return foreign
    if isinstance(foreign, aiohttp.InvalidURL):
        return SetupError(
            "base_url, or the proxy of the aiohttp session given as http=, is not an address "
            "that a request can be made to"
        )
    if isinstance(foreign, ValueError) and not isinstance(foreign, aiohttp.ClientError | OSError):
        return SetupError(
            "the request cannot be made; with trust_env, perhaps because a proxy of the "
            "environment (https_proxy) is not a URL, or because its .netrc has another "
            "credential for the service's host",
            sent="maybe" if outgoing.may_have_left else "no",
        )
    if isinstance(foreign, aiohttp.ClientSSLError):
        reason = _tls_reason(foreign)
        return TLSError(f"TLS with {_place(foreign)} failed: {reason}", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorDNSError):
        return _unresolved(foreign)
    if isinstance(foreign, aiohttp.ConnectionTimeoutError):
        return ConnectError("connecting to the service took too long", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorError):
        return ConnectError(f"no connection to {_place(foreign)}: {os_reason(foreign)}", sent="no")
    if isinstance(foreign, UnusableError) or not outgoing.may_have_left:
        return ConnectError(
            "the connection to the service was lost before anything was sent", sent="no"
        )
    if isinstance(foreign, aiohttp.ClientPayloadError):
        return TruncatedResponseError("the answer's body ended early or was damaged", sent="maybe")
    if isinstance(foreign, LostError | OSError | aiohttp.ClientConnectionError):
        return ConnectionLostError("the connection was lost before an answer", sent="maybe")
    return ProtocolError("what arrived is not an HTTP answer", sent="maybe")


def _unresolved(foreign: aiohttp.ClientConnectorDNSError) -> ConnectError:
    # Resolvers other than the system's give no number: their failures may pass.
    if foreign.os_error.errno not in _NO_SUCH_HOST:
        return ConnectError(f"the host name {foreign.host} could not be resolved", sent="no")
    error = ConnectError(
        f"the host name {foreign.host} was not found: check base_url, and the network's DNS",
        sent="no",
    )
    error.no_such_host = True
    return error


def _place(foreign: aiohttp.ClientSSLError | aiohttp.ClientConnectorError) -> str:
    """The host and port that were tried: they show a mistaken `base_url`."""
    return f"{foreign.host}:{foreign.port}"


def _tls_reason(foreign: Exception) -> str:
    inner = getattr(foreign, "certificate_error", None) or getattr(foreign, "os_error", foreign)
    message = getattr(inner, "verify_message", "") or getattr(inner, "reason", "")
    return message or type(inner).__name__


def os_reason(foreign: aiohttp.ClientConnectorError) -> str:
    """Why the system did not connect, such as "connection refused"."""
    error = foreign.os_error
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()  # asyncio's own text does not say why
    return error.strerror or type(error).__name__
