"""Mocks and tracers that replace a part of aiohttp: no request goes round a mock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial, wraps
from typing import Any, Final
from unittest.mock import AsyncMock, MagicMock, patch

import aiohttp
import pytest

from iottly_async import IottlySession, SetupError
from tests.support.calls import GET, POST, VERBS, Verb, each_verb, session_on
from tests.support.raw_server import Peer, RawServer

METHODS: Final = ("_request", "request", "verb")


class MockedResponse:
    """A response as mocks of aiohttp make it, without a connection."""

    connection = None

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.headers = {"content-type": "application/json"}
        self.content = asyncio.StreamReader()
        self.content.feed_data(body)
        self.content.feed_eof()

    def close(self) -> None:
        """Do nothing."""


async def answers(peer: Peer) -> None:
    """Answer each request as its verb expects."""
    while True:
        method = (await peer.request()).line.split()[0]
        (body,) = (verb.body for verb in VERBS if verb.method == method)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture
async def service() -> AsyncIterator[RawServer]:
    """The real service, which no mock may let a request go to."""
    async with RawServer(answers) as server:
        yield server


@pytest.fixture
async def session(service: RawServer) -> AsyncIterator[IottlySession]:
    """A session with an open connection to the service."""
    async with session_on(service) as session:
        await GET.make(session)
        assert len(service.requests) == 1
        yield session


def named(method: str, verb: Verb) -> str:
    """The name of a method of aiohttp's session class."""
    return verb.method.lower() if method == "verb" else method


@each_verb
@pytest.mark.parametrize("method", METHODS)
async def test_a_mock_that_answers_is_used(
    service: RawServer, session: IottlySession, method: str, verb: Verb
) -> None:
    """A function in the place of a session's method gets the request, and its answer is read.

    The session was open before, and goes back to its own connections afterwards.
    """
    asked: list[tuple[Any, ...]] = []

    async def mocked(_: aiohttp.ClientSession, *arguments: Any, **options: Any) -> Any:
        asked.append(arguments)
        return MockedResponse(verb.body)

    with patch.object(aiohttp.ClientSession, named(method, verb), mocked):
        await verb.make(session)
    ((*_, url),) = asked
    assert str(url).startswith(service.url)
    assert len(service.requests) == 1
    await verb.make(session)
    assert len(service.requests) == 2


@each_verb
@pytest.mark.parametrize("autospec", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_a_mock_that_cannot_answer_is_named(
    service: RawServer, session: IottlySession, method: str, autospec: bool, verb: Verb
) -> None:
    """The answer of a bare mock is no response: the call fails and says what to use instead."""
    mock = patch.object(aiohttp.ClientSession, named(method, verb), autospec=autospec)
    with mock as mocked, pytest.raises(SetupError, match=r"is mocked.*aiointercept or vcrpy"):
        await verb.make(session)
    assert mocked.call_count == 1
    assert len(service.requests) == 1


@each_verb
@pytest.mark.parametrize("name", ["aiohttp.ClientSession", "aiohttp.client.ClientSession"])
async def test_a_mock_of_the_class_lets_nothing_pass(
    service: RawServer, session: IottlySession, name: str, verb: Verb
) -> None:
    """While another object has the name of aiohttp's session class, a call fails."""
    with patch(name), pytest.raises(SetupError, match="was replaced by another object"):
        await verb.make(session)
    assert len(service.requests) == 1
    await verb.make(session)
    assert len(service.requests) == 2


async def test_a_stream_does_not_go_round_a_mock_of_the_class(
    service: RawServer, session: IottlySession
) -> None:
    """Nor does a stream connect while the class is mocked."""
    with patch("aiohttp.ClientSession"), pytest.raises(SetupError, match="was replaced"):
        async with session.stream() as stream:
            await stream.until_connected()
    assert len(service.requests) == 1


@each_verb
async def test_a_method_of_a_given_session_may_be_mocked(service: RawServer, verb: Verb) -> None:
    """With ``http=``, a mock in the object itself gets the request."""
    async with aiohttp.ClientSession() as http, session_on(service, http=http) as session:
        mocked = AsyncMock(return_value=MockedResponse(verb.body))
        with patch.object(http, verb.method.lower(), mocked):
            await verb.make(session)
        assert mocked.await_count == 1
    assert service.requests == []


async def test_a_mock_of_a_session_may_be_given(service: RawServer) -> None:
    """A mock that stands for a whole session is used for requests."""
    http = MagicMock(spec=aiohttp.ClientSession, closed=False)
    http.request = AsyncMock(return_value=MockedResponse(POST.body))
    async with session_on(service, http=http) as session:
        assert (await POST.make(session)).id == "cmd_1"
    assert service.requests == []


class EqualWrapper:
    """A wrapper of a method that says that it equals the method, as those of wrapt do."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __eq__(self, other: object) -> bool:
        return other is self or other == inspect.unwrap(self._method)

    def __hash__(self) -> int:
        return hash(self._method)

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        return self if instance is None else partial(self._method, instance)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._method(*arguments, **options)


@pytest.mark.parametrize("kind", [EqualWrapper, lambda traced: traced], ids=["equal", "plain"])
@pytest.mark.parametrize("name", ["__init__", "_request", "get", "request"])
async def test_a_tracer_sees_every_request(
    service: RawServer,
    session: IottlySession,
    name: str,
    kind: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrapped method of the session class is called, and the request is sent once."""
    called: list[str] = []
    original: Callable[..., Any] = getattr(aiohttp.ClientSession, name)

    @wraps(original)  # so that only the function itself tells that it is not aiohttp's
    def traced(*arguments: Any, **options: Any) -> Any:
        called.append(name)
        return original(*arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, name, kind(traced))
    await GET.make(session)
    await GET.make(session)
    assert len(service.requests) == 3
    assert len(called) == (1 if name == "__init__" else 2)


def redirected(to: RawServer) -> AbstractContextManager[Any]:
    """A mock of the connector's name resolution, which leads to another server."""
    host, port = to.url.removeprefix("http://").split(":")
    found = {"hostname": host, "host": host, "port": int(port), "family": 2, "proto": 0, "flags": 0}
    return patch.object(aiohttp.TCPConnector, "_resolve_host", AsyncMock(return_value=[found]))


@each_verb
async def test_a_mock_of_name_resolution_is_used(
    service: RawServer, session: IottlySession, verb: Verb
) -> None:
    """A mock that leads names elsewhere is not gone round by a connection that is open already."""
    async with RawServer(answers) as mock:
        with redirected(mock):
            await verb.make(session)
            await verb.make(session)
        assert len(mock.requests) == 2
    assert len(service.requests) == 1
