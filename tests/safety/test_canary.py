"""The key is shown by no object, log, error, pickle or program output."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import pickle
import sys
import types
from typing import Any, cast

import pytest

from iottly_async import (
    Config,
    ConfigurationError,
    IottlyError,
    IottlySession,
    RateLimiter,
    RedisLimiter,
    RedisSeenKeys,
    UnauthorizedError,
    WebhookUnavailableError,
)
from iottly_async.auth import ApiKey
from iottly_async.emulator import EmulatorThread
from tests.support.canary import CANARY, KEY_LOG, KeyLogHandler, assert_key_hidden, shows_key
from tests.support.raw_server import Peer, RawServer, answer, answering, head

PONG = b'{"status": "pong"}'


def session_on(server: RawServer | str, **settings: Any) -> IottlySession:
    """A session with the canary as its key."""
    url = server if isinstance(server, str) else server.url
    config = Config(base_url=url, timeout=10, **settings)
    return IottlySession(CANARY, config=config, limiter=RateLimiter())


def test_the_search_finds_what_it_searches_for() -> None:
    """The search finds a log record with the key, at any level."""
    ear, logger = KeyLogHandler(), logging.Logger("anything")
    logger.addHandler(ear)
    logger.debug("nothing to see")
    logger.debug("sent with %s", f"bearer {CANARY}")
    assert ear.found == ["a log record of anything at DEBUG"]
    assert shows_key(f"Bearer {CANARY}")


def reachable(root: object, depth: int) -> dict[int, object]:
    """Collect all objects that can be reached from one, but code, modules and classes."""
    found = {id(root): root}
    layer = [root]
    for _ in range(depth):
        inner = [each for held in layer for each in gc.get_referents(held)]
        layer = []
        for each in inner:
            if id(each) not in found and not isinstance(each, _UNINTERESTING):
                found[id(each)] = each
                layer.append(each)
    return found


_UNINTERESTING = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.FrameType,
    asyncio.AbstractEventLoop,
    asyncio.Task,
)


async def test_no_object_shows_it() -> None:
    """No object that can be reached from a used session shows the key."""
    async with RawServer(answering(200, PONG)) as server, session_on(server) as session:
        await session.ping()
        view = session.with_options(timeout=5)
        project = view.project("p1")
        for root in (session, view, project, session.quota, session.stats, session.config):
            objects = reachable(root, 12)
            assert not any(shows_key(repr(each)) for each in objects.values())
        assert len(reachable(session, 12)) > 100


async def test_it_is_in_its_header_alone() -> None:
    """The key is in one header, and in no address, other header or body."""
    async with RawServer(answering(200, b"{}")) as server, session_on(server) as session:
        for call in (
            session.ping(),
            session.devices.get("d"),
            session.project("p").commands.send("d", "echo", {"a": 1}),
        ):
            try:
                await call
            except IottlyError as error:
                assert_key_hidden(error)
        for received in server.requests:
            assert not shows_key(received.line)
            assert not shows_key(received.body.decode())
            assert sum(shows_key(value) for _, value in received.headers) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda key: ApiKey(f"{key}\n"),
        lambda key: ApiKey(f" {key}"),
        lambda key: ApiKey(key.encode()),
        lambda key: ApiKey(cast(Any, [key])),
        lambda key: IottlySession(f"{key}\r\nX: y", config=Config()),
        lambda key: IottlySession(key, config=cast(Any, "no config")),
        lambda key: IottlySession(key, config=Config(), http="no transport"),
        lambda key: IottlySession(key.encode(), config=Config()),
    ],
)
def test_a_refusal_does_not_show_it(make: Any) -> None:
    """A refused argument that holds a key is not shown, in any frame of ours."""
    with pytest.raises(ConfigurationError) as caught:
        make(CANARY)
    assert_key_hidden(caught.value)


@pytest.mark.parametrize(
    "url", [f"https://user:{CANARY}@example.org", f"https://example.org/?key={CANARY}"]
)
def test_a_refused_url_does_not_show_it(url: str) -> None:
    """The error for a URL with a credential does not repeat the credential."""
    with pytest.raises(ConfigurationError) as caught:
        Config(base_url=url)
    assert not shows_key(f"{caught.value!r}")


async def test_a_password_of_redis_is_not_shown() -> None:
    """Neither an error nor an attribute of what uses a Redis shows its URL's password."""
    url = f"redis://user:{CANARY}@127.0.0.1:1/0"
    async with RedisLimiter(url, key="k") as limiter, RedisSeenKeys(url) as seen:
        with pytest.raises(WebhookUnavailableError) as caught:
            await seen.claim("a")
        assert_key_hidden(caught.value)
        for each in (limiter, limiter._connection, seen):
            assert not shows_key(repr(each) + repr(vars(each)))


def test_the_environments_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for an invalid key of the environment does not show the key."""
    monkeypatch.setenv("IOTTLY_API_KEY", f"{CANARY}\n")
    with pytest.raises(ConfigurationError) as caught:
        IottlySession(config=Config())
    assert_key_hidden(caught.value)


async def test_it_is_not_pickled() -> None:
    """Neither session nor key can be pickled, and a pickled error does not hold the key."""
    async with (
        RawServer(answering(401, b'{"error": "no"}')) as server,
        session_on(server) as session,
    ):
        for each in (session, ApiKey(CANARY), ApiKey(CANARY).headers("v1")):
            with pytest.raises(TypeError):
                pickle.dumps(each)
        with pytest.raises(IottlyError) as caught:
            await session.ping()
    assert CANARY.encode() not in pickle.dumps(caught.value)


def test_a_copy_is_redacted_too() -> None:
    """The key and its headers can be copied, as vcrpy does; no copy shows the key."""
    key = ApiKey(CANARY)
    for copied in (copy.copy(key), copy.deepcopy(key)):
        assert copied.headers("v1") == key.headers("v1")
        assert not shows_key(repr(copied))
    headers = {"outer": key.headers("v1.0")}
    for copied_headers in (copy.deepcopy(headers), copy.copy(headers)):
        assert copied_headers == headers
        assert not shows_key(repr(copied_headers))
    value = key.headers("v1.0")["Authentication"]
    assert not shows_key(repr([copy.copy(value), copy.deepcopy(value)]))


async def echoes(peer: Peer) -> None:
    """Answer with errors, and successes of the wrong form, that hold the whole request."""
    while True:
        received = await peer.request()
        text = received.head.decode("latin-1").replace("\r\n", " ").replace('"', "'")
        body = b'{"error": {"message": "%s", "code": "%s"}, "id": "%s"}' % ((text.encode(),) * 3)
        status = 200 if "ping" in received.line else 400
        lines = (f"X-Echo: {text}", f"Content-Type: text/{text[:60]}")
        await peer.send(head(status, *lines, length=len(body)) + body)


async def test_an_echo_is_not_shown() -> None:
    """If the service repeats the request, no error shows the key."""
    async with RawServer(echoes) as server, session_on(server) as session:
        for call in (
            session.ping(),
            session.devices.get("d"),
            session.commands.send("d", "uptime"),
            session.project("p").devices.get("d"),
        ):
            with pytest.raises(IottlyError) as caught:
                await call
            reported = caught.value
            assert not shows_key(f"{reported!r} {reported.facts()} {reported.__cause__!r}")
            if reported.status == 400:
                assert_key_hidden(reported)


async def test_a_refused_stream_does_not_show_it() -> None:
    """If the service repeats the request that opens a stream, no error shows the key."""

    async def repeats(peer: Peer) -> None:
        credential = dict((await peer.request()).headers)["authorization"]
        body = b'{"error": {"message": "%s", "code": "x"}}' % credential.encode()
        await peer.send(answer(401, body))
        await peer.stall()

    async with RawServer(repeats) as server, session_on(server) as session:
        async with session.stream() as stream:
            with pytest.raises(UnauthorizedError) as caught:
                await stream.until_connected()
        reported = caught.value
        assert "<redacted>" in str(reported)
        assert not shows_key(f"{reported!r} {reported.facts()} {reported.__cause__!r}")


def test_debug_mode_does_not_show_it() -> None:
    """asyncio's debug mode does not show the key."""

    async def loses_and_drops(peer: Peer) -> None:
        received = await peer.request()
        if "ping" in received.line:
            await peer.send(answer(200, PONG, "Connection: close"))
            peer.finish()
            return
        peer.reset()

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.0
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(repr(context))
        )
        async with RawServer(loses_and_drops) as server, session_on(server) as session:
            await session.ping()
            lost = asyncio.create_task(session.devices.get("d"))
            await asyncio.wait([lost])
            assert isinstance(lost.exception(), IottlyError)
            waiting = asyncio.create_task(session.project("p").inspect())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            del lost, waiting
            gc.collect()
        assert not any(map(shows_key, complaints))

    asyncio.run(main(), debug=True)
    assert not KEY_LOG.found


async def run_cli(*arguments: str, **environment: str) -> str:
    """Run the command line; return all its output."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-m", "iottly_async", *arguments),
        env={**os.environ, "IOTTLY_API_KEY": CANARY, "COLUMNS": "200", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        stdin=asyncio.subprocess.DEVNULL,
    )
    out, _ = await child.communicate()
    return out.decode()


async def test_the_command_line_does_not_show_it() -> None:
    """No command prints the key, whether it works or fails."""
    with EmulatorThread(devices=1, messages=10, api_keys=(CANARY,)) as emulator:
        here = {"IOTTLY_BASE_URL": emulator.base_url}
        reported = await asyncio.gather(
            run_cli("devices", emulator.project_id, **here),
            run_cli("inspect", "no-such-project", **here),
            run_cli("ping", IOTTLY_BASE_URL=f"https://user:{CANARY}@example.org"),
            run_cli("ping", IOTTLY_API_KEY=f"{CANARY}\n", **here),
        )
    assert all(reported)
    assert not any(map(shows_key, reported))
