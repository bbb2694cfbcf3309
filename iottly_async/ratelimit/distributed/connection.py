"""The connection to Redis: it calls the script, and tells when Redis is unreachable.

The only file that imports `redis`.
"""

from __future__ import annotations

import asyncio
import logging
import re
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

from ...auth import RedactedStr
from ...errors import ConfigurationError, SetupError
from ...retry import backoff_delay
from ...urls import parse_server_url
from .script import SCRIPT, Lease

__all__ = ["RedisConnection", "check_redis_url"]

_log: Final = logging.getLogger("iottly_async")

_RETRY_INITIAL: Final = 1.0
_RETRY_MOST: Final = 10.0
"""Seconds: bounds of the first and of the longest pause between attempts to reach Redis."""


class RedisConnection:
    """Calls the script. If a call fails or is slow, Redis is gone until an attempt succeeds.

    Args:
        url: of the Redis.
        name: of the hash; may be set until the first call.
        timeout: seconds that a call may take.
        monotonic: tells the time.
        random: draws a number in [0, 1), for jitter.

    Attributes:
        gone: whether Redis is unreachable.
        calls: how many calls were made.

    Raises:
        ConfigurationError: `url` is not one of a Redis.
    """

    def __init__(
        self,
        url: str,
        name: str,
        timeout: float,
        *,
        monotonic: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        check_redis_url(url)
        self.gone = False
        self.calls = 0
        self.name = name
        self._url, self._timeout = RedactedStr(url), timeout
        self._monotonic = monotonic
        self._random = random
        self._client: Redis | None = None
        self._worked = False
        self._failures, self._retry_at = 0, 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to try a Redis that is gone again."""
        return self._monotonic() >= self._retry_at

    async def lease(self, arguments: Sequence[str]) -> Lease | None:
        """Call the script; None if Redis is gone.

        Raises:
            SetupError: Redis refuses the credentials, and never accepted them.
        """
        if self._client is None:
            self._client = Redis.from_url(
                self._url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 1),  # once: a kept connection may be stale
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
            if not self._worked and _is_refusal(failure):
                raise SetupError(
                    f"Redis refuses the limiter ({failure}): check that the url's user and "
                    "password are right, and may run scripts and use hashes"
                )
            self._fail(failure)
            return None
        self._worked = True
        if self.gone:
            self.gone = False
            _log.warning("Redis is back: the quota is shared again")
        self._failures = 0
        lease = Lease.read(reply)
        if lease.repaired:
            _log.warning(
                "the quota in Redis held values that no limiter writes, perhaps of another program "
                "with the same name; it was begun anew"
            )
        return lease

    def _fail(self, error: Exception) -> None:
        if not self.gone:
            # Of other errors only the class: their texts hold addresses.
            what = str(error) if isinstance(error, ResponseError) else type(error).__name__
            _log.warning("Redis is gone (%s): the quota is not shared until it is back", what)
        self.gone = True
        self._failures += 1
        pause = backoff_delay(
            self._failures, initial=_RETRY_INITIAL, most=_RETRY_MOST, random=self._random
        )
        self._retry_at = self._monotonic() + pause

    def forget(self) -> None:
        """Drop the connections: their event loop has ended."""
        self._client = None

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def check_redis_url(url: object) -> None:
    """Check the URL of a Redis. The error does not show it: it may hold a password.

    Raises:
        ConfigurationError: it is not ``redis://HOST:PORT``, ``rediss://…`` or ``unix://…``.
    """
    known = False
    if isinstance(url, str):
        # Redis's own parser takes any path for the database 0, and reads hosts less strictly.
        parts = parse_server_url(url)
        known = url.startswith("unix://") or (
            parts is not None and re.fullmatch(r"(/\d*)?", parts.path) is not None
        )
        try:
            parse_url(url)
        except ValueError:
            known = False
    if not known:
        raise ConfigurationError(
            "url must be redis://HOST:PORT/DATABASE, rediss://… or unix://…, with "
            "special characters percent-encoded"
        )


def _is_refusal(failure: Exception) -> bool:
    """Whether Redis refuses the credentials.

    Before a login, Redis refuses a command of more than ten arguments by another error, which
    redis 5.2 passes on.
    """
    return isinstance(failure, AuthenticationError | NoPermissionError) or "unauthenticated" in str(
        failure
    )
