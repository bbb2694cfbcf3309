"""Remembers in Redis which messages were handled, for several workers (extra ``redis``).

Each message has one key in Redis. While a worker handles the message, the key holds that
worker's claim, a random text, and expires after the lease. The worker renews its claims as
long as it lives. So a claim of a worker that was killed expires, and the next delivery of the
message is handled by another one. When the message was handled, the key holds ``done``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self, TypeVar

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
except ImportError as error:
    raise ImportError(
        "RedisSeenKeys needs the package redis: pip install 'iottly-async[redis]'"
    ) from error

from ..aio.tasks import cancel_and_wait
from ..auth import RedactedStr
from ..config import Seconds, seconds
from ..errors import ConfigurationError, SetupError, WebhookUnavailableError
from ..ratelimit.distributed.connection import check_redis_url
from .dedupe import CAPACITY, Claim

T = TypeVar("T")

_log: Final = logging.getLogger("iottly_async.webhooks")

_DONE: Final = b"done"
_DAY: Final = 86_400.0
_CONNECTIONS: Final = 16
"""Commands at the same time, each of which has a connection."""

_RENEWALS: Final = 3
"""How often a claim is renewed during one lease."""

# A claim is given up or renewed only by the worker that holds it.
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_RENEW: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
)


class RedisSeenKeys:
    """A memory of message keys that several workers share; the twin of `SeenKeys`.

    If the same message is delivered to two workers, one gets "new" and handles it; the other
    gets "busy", and later "done".

    - A worker that is killed while it handles a message does not lose it: its claim expires
      after `lease`, and the next delivery is "new". A worker that lives renews its claims,
      however long the handling takes.
    - If Redis is gone, `claim` raises `WebhookUnavailableError`, so that the sender can try
      again later. A message that was handled meanwhile is remembered by its worker, and in
      Redis as soon as that is back.
    - A message can be handled twice if Redis loses its data, or if a worker stops for longer
      than `lease` without being killed.

    It is made anywhere, and belongs to the event loop of its first call.

    Example:
        ```python
        seen = RedisSeenKeys("redis://127.0.0.1:6379/0")
        app.include_router(webhook_router(handle, secret=SECRET, seen=seen))
        ```

    Args:
        url: of the Redis: ``redis://``, ``rediss://`` or ``unix://``.
        name: separates the memories of several applications in one Redis. Default
            ``webhooks``.
        remember: seconds, or a `timedelta`, for which a handled message is remembered.
            Default 86,400 (a day).
        lease: seconds, or a `timedelta`, after which the claim of a worker that was killed
            expires. Default 30.
        timeout: seconds, or a `timedelta`, that a call to Redis may take. Default 1.

    Raises:
        ConfigurationError: an argument is not accepted.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "webhooks",
        remember: Seconds = _DAY,
        lease: Seconds = 30.0,
        timeout: Seconds = 1.0,
    ) -> None:
        check_redis_url(url)
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"name must be a text, not {name!r}")
        self._url = RedactedStr(url)
        self._name = name
        self._prefix = f"iottly:seen:{name}:"
        self._remember_ms = _milliseconds(remember, "remember")
        self._lease_ms = _milliseconds(lease, "lease")
        self._timeout = seconds(timeout, name="timeout")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None  # a Redis, whose commands are typed as if it were not async
        self._claims: dict[str, str] = {}
        # Handled by this worker, and not yet known to Redis; oldest first.
        self._unsaved: dict[str, None] = {}
        self._upkeep: asyncio.Task[None] | None = None
        self._gone = False
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    def __repr__(self) -> str:
        return f"RedisSeenKeys(name={self._name!r})"  # the url may have a password

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def claim(self, key: str) -> Claim:
        """Ask whether to handle a message.

        Args:
            key: the message's key.

        Returns:
            "new" if the message must be handled; call `keep` or `release` afterwards.
            "busy" if a worker is handling another delivery of it. "done" if it was handled.

        Raises:
            WebhookUnavailableError: Redis is gone; answer 503.
            SetupError: Redis refuses the credentials.
        """
        client = self._connected()
        if key in self._unsaved:
            return "done"
        token = token_hex(8)
        name = self._prefix + key
        holder: bytes | None = None
        while holder is None:
            if await self._call(client.set(name, token, nx=True, px=self._lease_ms)):
                break
            holder = await self._call(client.get(name))  # None if it has just expired
            if holder == token.encode():
                break  # Redis got the first command, and its reply was lost
            if holder is not None:
                return "done" if holder == _DONE else "busy"
        self._claims[key] = token
        self._start_upkeep()
        return "new"

    async def keep(self, key: str) -> None:
        """Remember that a claimed message was handled.

        If Redis is gone, this worker remembers it, and tells Redis later.

        Args:
            key: the message's key.
        """
        self._connected()
        self._claims.pop(key, None)
        self._unsaved[key] = None
        if len(self._unsaved) > CAPACITY:
            del self._unsaved[next(iter(self._unsaved))]
        self._start_upkeep()
        await self._save(key)

    async def release(self, key: str) -> None:
        """Give up a claim: the message was not handled, and its next delivery is new.

        If Redis is gone, the claim expires by itself.

        Args:
            key: the message's key.
        """
        client = self._connected()
        token = self._claims.pop(key, None)
        if token is not None:
            await self._try(client.eval(_RELEASE, 1, self._prefix + key, token))

    async def aclose(self) -> None:
        """Close the connections. Claims that are held expire after the lease."""
        client, self._client = self._client, None
        task, self._upkeep = self._upkeep, None
        self._claims.clear()
        if task is not None:
            await cancel_and_wait([task])
        if client is not None:
            await client.aclose()

    async def _save(self, key: str) -> bool:
        command = self._connected().set(self._prefix + key, _DONE, px=self._remember_ms)
        saved = await self._try(command)
        if saved:
            self._unsaved.pop(key, None)
        return saved

    def _start_upkeep(self) -> None:
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = asyncio.ensure_future(self._keep_up())

    async def _keep_up(self) -> None:
        """Renew claims, and save what is not saved, as long as there is any."""
        while self._claims or self._unsaved:
            await asyncio.sleep(self._lease_ms / 1000 / _RENEWALS)
            client = self._connected()
            for key, token in [*self._claims.items()]:
                renewal = client.eval(_RENEW, 1, self._prefix + key, token, self._lease_ms)
                if not await self._try(renewal):
                    break
            for key in [*self._unsaved]:
                if not await self._save(key):
                    break

    async def _try(self, command: Awaitable[Any]) -> bool:
        """Do what can wait; False if Redis is gone."""
        try:
            await self._call(command)
        except (WebhookUnavailableError, SetupError):
            return False
        return True

    async def _call(self, command: Awaitable[T]) -> T:
        failure: Exception
        try:
            # The wait for a connection is not Redis's: a burst of webhooks does not make it gone.
            async with self._slots, asyncio.timeout(self._timeout):
                result = await command
        except (RedisError, OSError, TimeoutError) as error:
            failure = error
        else:
            if self._gone:
                self._gone = False
                _log.warning("Redis is back: workers share again which webhooks were handled")
            return result
        what = type(failure).__name__  # the text may hold the address
        if isinstance(failure, AuthenticationError | NoPermissionError):
            raise SetupError(
                f"Redis refuses RedisSeenKeys ({what}): check that the url's user and password "
                "are right, and may use SET, GET and EVAL"
            )
        if not self._gone:
            self._gone = True
            _log.warning("Redis is gone (%s): webhooks are refused until it is back", what)
        raise WebhookUnavailableError(
            f"whether this webhook was handled is not known: Redis is gone ({what})",
            retry_after=1.0,
        )

    def _connected(self) -> Any:
        """The client of this event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            # Connections and tasks of a loop that has ended cannot be used.
            self._loop, self._upkeep = loop, None
            self._slots = asyncio.Semaphore(_CONNECTIONS)
            self._claims.clear()
            self._client = Redis.from_url(
                self._url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 1),  # once: a kept connection may be stale
            )
        return self._client


def _milliseconds(value: Seconds, name: str) -> int:
    milliseconds = round(seconds(value, name=name) * 1000)
    if milliseconds < 1:
        raise ConfigurationError(f"{name} must be a millisecond or more, not {value!r}")
    return milliseconds
