"""A connection to PostgreSQL that is made again when it is lost, and what its errors mean.

There are three kinds of errors:

- `LOST`: the connection was lost, or the server is short of something. Another try may
  succeed.
- `ROW`: the database refuses a row. It may take the other rows.
- Anything else, for example a full disk or a missing right. A person must mend it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from ....clock import SYSTEM_CLOCK
from ....config import RetryPolicy
from ....errors import ConfigurationError, IottlyError, StoreError
from ....retry import retry_delay
from ....texts import HOSTS
from ....urls import is_ipv6

T = TypeVar("T")
Connection: TypeAlias = Any  # asyncpg.Connection; the package comes without types

# Besides lost connections: a shutdown by an operator, a deadlock, too many connections.
LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.TooManyConnectionsError,
)
ROW: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
HELD_ELSEWHERE: Final = asyncpg.LockNotAvailableError
_UNFIT: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    asyncpg.InsufficientPrivilegeError,
)
ERRORS: Final = (*LOST, asyncpg.PostgresError)

_CONNECT_WITHIN: Final = 15.0  # seconds
_STATEMENT_WITHIN: Final = 120.0  # seconds; a statement that takes longer has lost its server
_SETTINGS: Final = {
    "timezone": "UTC",
    # A server keeps a lock until it notices that its client is gone: 15 s, and 9 times 5 s.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    # What a write reports as stored must be durable, whatever the database's default.
    "synchronous_commit": "on",
}


class PostgresConnection:
    """One connection. It is made when it is first needed, and again when it was lost.

    Args:
        url: of the database.
        prepare: called with each new connection before it is used.
        retry: how often and how soon a lost connection is made again.
        shown: the store's name in errors.
    """

    def __init__(
        self,
        url: str,
        *,
        prepare: Callable[[Connection], Awaitable[None]],
        retry: RetryPolicy,
        shown: str,
    ) -> None:
        self._url = url
        self._prepare = prepare
        self._retry = retry
        self._shown = shown
        self._connection: Connection | None = None

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` on a connection and return what it returns; again if it was lost.

        `work` may run twice, and its first run may have been committed: the answer to a
        commit can be lost.

        Raises:
            StoreError: all attempts lost the connection, or the server refuses the work.
            ConfigurationError: the server does not accept this user.
        """
        attempt = 1
        while True:
            try:
                return await work(await self._connected())
            except (*ERRORS, asyncio.CancelledError) as error:
                # The server undoes the transaction that was under way.
                self._drop()
                if isinstance(error, asyncio.CancelledError):
                    raise
                failure = self._failure_of(error, attempt)
            if failure is not None:
                # Raised outside the except block: asyncpg's errors quote rows and statements.
                raise failure
            await asyncio.sleep(retry_delay(attempt, self._retry, SYSTEM_CLOCK.random))
            attempt += 1

    def _failure_of(self, error: BaseException, attempt: int) -> IottlyError | None:
        """The error to raise; None to try again."""
        text = text_of(error)
        if isinstance(error, _UNFIT):
            return ConfigurationError(f"store {self._shown} cannot be used: {text}")
        if not isinstance(error, LOST):
            return StoreError(f"store {self._shown}: {text}")
        if attempt < self._retry.max_attempts:
            return None
        return StoreError(
            f"store {self._shown} was not reached in {attempt} attempts: {text}",
            attempts=attempt,
        )

    async def close(self) -> None:
        """Close the connection, whatever state it is in. Errors are ignored."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*ERRORS):
                await connection.close(timeout=5.0)

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        connection = await self._connect()
        if connection is None:
            # Raised outside the except block: the foreign error may quote the URL.
            raise ConfigurationError(
                f"store {self._shown} cannot be used: there can be no such host or port"
            )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    async def _connect(self) -> Connection | None:
        """Make a connection; None if the URL is none that can be connected to."""
        try:
            return await asyncpg.connect(
                self._url,
                timeout=_CONNECT_WITHIN,
                command_timeout=_STATEMENT_WITHIN,
                server_settings={**_SETTINGS, "application_name": _own_name()},
            )
        except (ValueError, OverflowError):
            return None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _own_name() -> str:
    """What names this job in `pg_stat_activity`, and to another that finds the store locked."""
    return f"iottly-async, process {os.getpid()} on {socket.gethostname()}"[:63]


def text_of(error: BaseException) -> str:
    """The first line of an error's text. Later lines may quote rows."""
    return str(error).partition("\n")[0][:300] or type(error).__name__


def split_url(url: str, parameter: str) -> tuple[str, str | None]:
    """Remove a parameter from a URL. Returns the URL, and the parameter's value or None.

    Raises:
        ConfigurationError: it is no URL of a database. The text shows nothing of it: it may
            be a password that ends where nobody expects.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    host = parts.netloc.rpartition("@")[2]
    if (
        (parts.scheme not in ("postgresql", "postgres") or "://" not in url)
        or not HOSTS.fullmatch(host)
        or not all(map(is_ipv6, re.findall(r"\[(.*?)\]", host)))
        or ("@" in parts.path or parts.fragment)
    ):
        raise ConfigurationError(
            "the store's URL is malformed; write postgresql://USER@HOST:PORT/DATABASE, with "
            "special characters percent-encoded ('/' as %2F), and the password in the "
            "environment variable PGPASSWORD or in ~/.pgpass"
        )
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    value = dict(pairs).get(parameter)
    rest = urlencode([(name, text) for name, text in pairs if name != parameter])
    return urlunsplit(parts._replace(query=rest)), value
