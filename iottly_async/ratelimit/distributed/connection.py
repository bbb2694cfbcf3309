"""The way to Redis: one script, one call at a time, and what to do when it is gone.

The only room that imports ``redis``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

try:
    from redis.asyncio import Redis
    from redis.asyncio.connection import parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        NoPermissionError,
        RedisError,
        ResponseError,
    )
except ImportError as error:
    raise ImportError(
        "RedisLimiter needs the package redis: pip install 'iottly-async[redis]'"
    ) from error

from ...errors import ConfigurationError
from .script import SCRIPT, Lease

__all__ = ["RedisConnection"]

_log: Final = logging.getLogger("iottly_async")

_RETRY_FIRST: Final = 0.5
_RETRY_MOST: Final = 10.0
"""Seconds between attempts to reach a Redis that is gone, doubled up to the latter."""


class RedisConnection:
    """Calls the script. A Redis that fails, or is slow, is gone until an attempt succeeds.

    Args:
        url: of the Redis.
        name: of the hash; may be set until the first call.
        timeout: seconds that a call may take.
        monotonic: the time.

    Raises:
        ConfigurationError: `url` is not one of a Redis.
    """

    def __init__(self, url: str, name: str, timeout: float, monotonic: Callable[[], float]) -> None:
        _check(url)
        self.gone = False
        self.calls = 0
        self.name = name
        self._url, self._timeout = url, timeout
        self._monotonic = monotonic
        self._client: Redis | None = None
        self._worked = False
        self._retry_in, self._retry_at = _RETRY_FIRST, 0.0

    @property
    def due(self) -> bool:
        """Whether a Redis that is gone is to be tried again."""
        return self._monotonic() >= self._retry_at

    async def lease(self, arguments: Sequence[str]) -> Lease | None:
        """Call the script; None where Redis is gone.

        Raises:
            ConfigurationError: Redis is there and has never let us in.
        """
        if self._client is None:
            self._client = Redis.from_url(
                self._url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 1),  # a connection may be stale; a Redis is not
            )
            self._script = self._client.register_script(SCRIPT)
        self.calls += 1
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._script(keys=[self.name], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            failure = error
        if failure is not None:
            if not self._worked and isinstance(failure, AuthenticationError | NoPermissionError):
                raise ConfigurationError(
                    f"Redis refuses the limiter ({failure}): see that the url's user and "
                    "password are right, and may run scripts and use hashes"
                )
            self._fail(failure)
            return None
        self._worked = True
        if self.gone:
            self.gone = False
            _log.warning("Redis is back: the quota is shared again")
        self._retry_in = _RETRY_FIRST
        return Lease.read(reply)

    def _fail(self, error: Exception) -> None:
        if not self.gone:
            # Of other errors the class only: their texts hold addresses.
            what = str(error) if isinstance(error, ResponseError) else type(error).__name__
            _log.warning("Redis is gone (%s): the quota is not shared until it is back", what)
        self.gone = True
        self._retry_at = self._monotonic() + self._retry_in
        self._retry_in = min(2 * self._retry_in, _RETRY_MOST)

    def forget(self) -> None:
        """The event loop that the connections belonged to has ended."""
        self._client = None

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _check(url: str) -> None:
    known = isinstance(url, str)
    if known:
        try:
            parse_url(url)
        except ValueError:
            known = False
    if not known:  # not shown: it may hold a password
        raise ConfigurationError("url must be redis://HOST:PORT, rediss://… or unix://…")
