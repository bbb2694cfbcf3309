"""What aiohttp is told of the settings: how to connect, how long for, whom to trust."""

from __future__ import annotations

import ssl
from functools import cache
from math import inf

from aiohttp import ClientTimeout, TCPConnector

from ..config import Config


def connector_for(config: Config, *, force_close: bool) -> TCPConnector:
    """A connector without a bound of its own: the gate stands before it."""
    trust = config.ssl or _default_context()
    return TCPConnector(limit=0, ssl=trust, force_close=force_close)


def timeout_of(config: Config) -> ClientTimeout:
    """The time to connect; all others are ours."""
    return ClientTimeout(
        total=None,
        connect=config.connect_timeout,
        sock_connect=config.connect_timeout,
        ceil_threshold=inf,  # else seconds above five are rounded up
    )


@cache
def _default_context() -> ssl.SSLContext:
    """The system's trust, verified; its version set here, not by the system's configuration."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
