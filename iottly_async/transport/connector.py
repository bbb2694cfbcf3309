"""aiohttp's connector and time limits, made from the settings."""

from __future__ import annotations

import ssl
from functools import cache
from math import inf

from aiohttp import ClientTimeout, TCPConnector

from ..config import Config


def connector_for(config: Config, *, force_close: bool, tls: bool = True) -> TCPConnector:
    """Make a connector without a limit: `max_connections` is a semaphore of the transport.

    Args:
        config: its `ssl` is used.
        force_close: whether a connection is closed after each request.
        tls: whether TLS may be used. Reading the system's authorities takes 30 ms.
    """
    trust = config.ssl or (_default_context() if tls else True)
    return TCPConnector(limit=0, ssl=trust, force_close=force_close)


def timeout_of(config: Config) -> ClientTimeout:
    """Limit the time to connect; the other time limits are the library's own."""
    return ClientTimeout(
        total=None,
        connect=config.connect_timeout,
        sock_connect=config.connect_timeout,
        ceil_threshold=inf,  # else limits above 5 s are rounded up to whole seconds
    )


@cache
def _default_context() -> ssl.SSLContext:
    """The system's trust; TLS 1.2 at least, whatever the system's configuration says."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
