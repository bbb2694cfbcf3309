"""One call of each verb, a fault, and what must then be true.

`assert_fault` makes the call against a server that plays the fault, and asserts, for each
cell of the matrix: the error's class and facts, how many times the request arrived,
that the call ended in its time, and that its connections were closed behind it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from attrs import field, frozen

from iottly_async import (
    CommandOutcomeUnknownError,
    Config,
    Hooks,
    IottlyError,
    IottlySession,
    RateLimiter,
    RetryPolicy,
)
from tests.support.canary import CANARY, assert_key_hidden
from tests.support.raw_server import RawServer, Script
from tests.support.tls import Certificates

KEY: Final = CANARY
DEADLINE: Final = 20.0
"""The timeout of a call, in seconds; no call comes near it."""


@frozen
class Verb:
    """A call of the API by its HTTP method, with a good answer."""

    method: str
    make: Callable[[IottlySession], Awaitable[Any]]
    good: dict[str, Any]
    command: bool = False

    @property
    def body(self) -> bytes:
        """The good answer's bytes."""
        return json.dumps(self.good).encode()


GET = Verb(
    "GET",
    lambda session: session.devices.get("dev_1"),
    {
        "id": "dev_1",
        "name": "pump",
        "project_id": "prj_1",
        "status": "online",
        "last_seen_at": "2026-01-01T00:00:00Z",
    },
)
PUT = Verb(
    "PUT",
    lambda session: session.project("p1").devices.rename("d1", "pump"),
    {
        "ID": "d1",
        "name": "pump",
        "macaddress": "aa:bb",
        "operatingstatus": "connected",
        "token": "t",
        "agent_version": "1",
    },
)
POST = Verb(
    "POST",
    lambda session: session.commands.send("dev_1", "uptime"),
    {"command_id": "cmd_1", "status": "pending"},
    command=True,
)
VERBS: Final = (GET, PUT, POST)

each_verb = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.method)


@frozen(kw_only=True)
class Fault:
    """A fault of every connection, and what comes of it.

    Attributes:
        name: of the fault, in the test's id.
        play: what the server does on each connection.
        error: the error's class, for a read or write.
        sent: whether the request may have arrived.
        again: whether a read or write is tried a second time.
        status: of the error; None if no answer arrived.
        slow: whether something does not arrive; `attempt_timeout` is then 0.25 s.
        text: words that the error's text must have.
        settings: of the session, beside the defaults.
    """

    name: str
    play: Script
    error: type[IottlyError]
    sent: str = "maybe"
    again: bool = True
    status: int | None = None
    slow: bool = False
    text: str = ""
    settings: dict[str, Any] = field(factory=dict)


def each_fault(*faults: Fault) -> pytest.MarkDecorator:
    """Parametrise a test over faults, by their names."""
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: fault.name)


def session_on(
    server: RawServer | str,
    certificates: Certificates | None = None,
    http: Any = None,
    limiter: RateLimiter | None = None,
    hooks: Hooks | None = None,
    **settings: Any,
) -> IottlySession:
    """Make a session on a server, by default with two attempts and no patience."""
    defaults: dict[str, Any] = {
        "base_url": server if isinstance(server, str) else server.url,
        "timeout": DEADLINE,
        "attempt_timeout": 10.0,
        "connect_timeout": 10.0,
        "patience": 0.0,
        "retry": RetryPolicy(max_attempts=2, initial_delay=0.001, max_delay=0.001),
    }
    if certificates is not None:
        defaults["ssl"] = certificates.client
    config = Config(**(defaults | settings))
    return IottlySession(
        KEY, config=config, http=http, limiter=limiter or RateLimiter(), hooks=hooks
    )


async def failure_of(call: Awaitable[Any]) -> IottlyError:
    """Await a call that fails; return its error, within the deadline and a margin."""
    async with asyncio.timeout(DEADLINE + 1.0):
        with pytest.raises(IottlyError) as caught:
            await call
    assert_key_hidden(caught.value)
    return caught.value


async def assert_fault(verb: Verb, fault: Fault, certificates: Certificates | None) -> IottlyError:
    """Make the call under the fault, and assert its error and its requests; return the error."""
    settings = {"attempt_timeout": 0.25} if fault.slow else {}
    tls = None if certificates is None else certificates.server
    async with (
        RawServer(fault.play, tls=tls) as server,
        session_on(server, certificates, **(settings | fault.settings)) as session,
    ):
        error = await failure_of(verb.make(session))
        assert_error(error, verb, fault)
        assert len(server.requests) == (0 if fault.sent == "no" else error.attempts)
        assert all(received.line.startswith(verb.method) for received in server.requests)
        # What failed is closed at once, not when the session is.
        await server.until_closed()
    return error


def assert_error(error: IottlyError, verb: Verb, fault: Fault) -> None:
    """Assert class and facts of a call's error."""
    unknown = verb.command and fault.sent != "no"
    reported = error
    if unknown:
        assert type(error) is CommandOutcomeUnknownError
        assert error.sent == "maybe"
        assert isinstance(error.__cause__, IottlyError)
        reported = error.__cause__
    else:
        assert error.sent == fault.sent
        assert error.__cause__ is None
    assert type(reported) is fault.error
    assert reported.__context__ is None
    assert error.status == fault.status
    assert error.request_id is None
    assert error.attempts == (2 if fault.again and not unknown else 1)
    assert fault.text in str(reported)
