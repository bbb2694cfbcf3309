"""aiohttp's errors into ours: the class, whether the request left, and nothing else of them."""

from __future__ import annotations

import os

import aiohttp

from ..errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    IottlyError,
    ProtocolError,
    TLSError,
    TruncatedResponseError,
)
from .attempt import Outgoing
from .connection import LostError


def translated(foreign: Exception, outgoing: Outgoing) -> IottlyError:
    """Our error for aiohttp's: its class and whether the request left, nothing else of it."""
    if isinstance(foreign, aiohttp.InvalidURL):
        return ConfigurationError("base_url is not an address that a request can be made to")
    if isinstance(foreign, ValueError) and not isinstance(foreign, aiohttp.ClientError | OSError):
        return ConfigurationError(
            "the request cannot be made; with trust_env, perhaps because the .netrc of the "
            "environment has another credential for the service's host"
        )
    if isinstance(foreign, aiohttp.ClientSSLError):
        reason = _tls_reason(foreign)
        return TLSError(f"TLS with {_place(foreign)} failed: {reason}", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorDNSError):
        return ConnectError(f"the host name {foreign.host} was not found", sent="no")
    if isinstance(foreign, aiohttp.ConnectionTimeoutError):
        return ConnectError("connecting to the service took too long", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorError):
        return ConnectError(f"no connection to {_place(foreign)}: {_os_reason(foreign)}", sent="no")
    if not outgoing.left:
        return ConnectError(
            "the connection to the service was lost before anything was sent", sent="no"
        )
    if isinstance(foreign, aiohttp.ClientPayloadError):
        return TruncatedResponseError("the answer's body ended early or was damaged", sent="maybe")
    if isinstance(foreign, LostError | OSError | aiohttp.ServerDisconnectedError):
        return ConnectionLostError("the connection was lost before an answer", sent="maybe")
    return ProtocolError("what arrived is not an HTTP answer", sent="maybe")


def _place(foreign: aiohttp.ClientSSLError | aiohttp.ClientConnectorError) -> str:
    """Which host and port were tried: a mistaken `base_url` is then seen at once."""
    return f"{foreign.host}:{foreign.port}"


def _tls_reason(foreign: Exception) -> str:
    inner = getattr(foreign, "certificate_error", None) or getattr(foreign, "os_error", foreign)
    message = getattr(inner, "verify_message", "") or getattr(inner, "reason", "")
    return message or type(inner).__name__


def _os_reason(foreign: aiohttp.ClientConnectorError) -> str:
    error = foreign.os_error
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()  # asyncio's own text does not tell why
    return error.strerror or type(error).__name__
