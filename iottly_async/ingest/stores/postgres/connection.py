"""A connection to PostgreSQL that is made anew when it is lost, and what its errors mean.

Errors fall into three kinds: the connection was lost, or the server asks to come again
(`LOST`: another try may succeed); a row was refused (`ROW`: the others may be taken);
anything else, such as a full disk or a missing right, which is for a person to mend.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from ....clock import SYSTEM_CLOCK
from ....config import RetryPolicy
from ....errors import ConfigurationError, IottlyError, StoreError
from ....retry import retry_delay

T = TypeVar("T")
Connection: TypeAlias = Any  # asyncpg.Connection; the package comes without types

# Of a server: a resource that is short for now, an operator's doing, a deadlock.
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

_CONNECT_WITHIN: Final = 15.0
_STATEMENT_WITHIN: Final = 120.0  # seconds after which a statement's server is taken for gone
_SETTINGS: Final = {
    "application_name": "iottly-async",
    "timezone": "UTC",
    # A server that does not notice a client's end keeps its lock: 15 s, and 9 times 5 s.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    # Of what was told as stored nothing is lost, whatever the database's default.
    "synchronous_commit": "on",
}


class PostgresConnection:
    """One connection, made when first needed, made again when it was lost.

    Args:
        url: of the database.
        prepare: told of each new connection before it is used.
        retry: how often and how soon is tried again.
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
        """What `work` returns, on a connection that lives; begun anew where it was lost.

        `work` must bear that what it did before was done after all: a commit whose answer
        was lost may have come about.

        Raises:
            StoreError: no connection lasted, or the server refuses the work.
            ConfigurationError: the server does not let this user in.
        """
        attempt = 1
        while True:
            try:
                return await work(await self._living())
            except (*ERRORS, asyncio.CancelledError) as error:
                # What it was in the midst of is undone by the server.
                self._drop()
                if isinstance(error, asyncio.CancelledError):
                    raise
                told = self._judged(error, attempt)
            if told is not None:
                # Outside the except block: asyncpg's errors quote rows and statements.
                raise told
            await asyncio.sleep(retry_delay(attempt, self._retry, SYSTEM_CLOCK.random))
            attempt += 1

    def _judged(self, error: BaseException, attempt: int) -> IottlyError | None:
        """What to raise after an error; None to try again."""
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
        """End the connection; quietly, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*ERRORS):
                await connection.close(timeout=5.0)

    async def _living(self) -> Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        connection = await asyncpg.connect(
            self._url,
            timeout=_CONNECT_WITHIN,
            command_timeout=_STATEMENT_WITHIN,
            server_settings=_SETTINGS,
        )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def text_of(error: BaseException) -> str:
    """What an error says, on one line, without the rows that its detail may quote."""
    return str(error).partition("\n")[0][:300] or type(error).__name__


def split_url(url: str, parameter: str) -> tuple[str, str | None]:
    """A URL without one of its parameters, and that one's value."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    value = dict(pairs).get(parameter)
    rest = urlencode([(name, text) for name, text in pairs if name != parameter])
    return urlunsplit(parts._replace(query=rest)), value
