"""The webhook router, with posts of the platform and of others."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from fastapi import FastAPI

from iottly_async import IottlySession, Message, WebhookUnavailableError
from iottly_async.emulator import Emulator
from iottly_async.integrations.fastapi import install, webhook_router
from iottly_async.webhooks import Claim, SeenKeys

from ..support.serving import serving

SECRET = {"X-Iottly-Secret": "a-shared-secret"}
PATH = "/webhooks/iottly"
MESSAGE: dict[str, Any] = {
    "from": "device",
    "timestamp": "2026-04-30T12:00:00.250",
    "type": "userdefined",
    "payload": {"t": 37.4},
}
BODY = json.dumps({"msg": MESSAGE}).encode()


class Inbox:
    """A handler that keeps what it gets, and waits or fails on request."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.arrived = asyncio.Event()
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.error: Exception | None = None

    async def take(self, message: Any) -> None:
        """Handle one message or payload."""
        self.arrived.set()
        await self.proceed.wait()
        if self.error is not None:
            raise self.error
        self.messages.append(message)


Post = Callable[..., Awaitable[tuple[int, Any]]]


@asynccontextmanager
async def receiving(inbox: Inbox, **options: Any) -> AsyncIterator[tuple[str, Post]]:
    """The URL of an application with a webhook router, and a function that posts to it."""
    app = FastAPI()
    install(app)
    app.include_router(webhook_router(inbox.take, secret="a-shared-secret", **options))
    async with serving(app) as url, aiohttp.ClientSession(url) as http:

        async def post(body: Any = BODY, headers: dict[str, str] | None = None) -> tuple[int, Any]:
            sent = SECRET if headers is None else headers
            async with http.post(PATH, data=body, headers=sent) as answer:
                text = await answer.text()
                return answer.status, json.loads(text) if text else None

        yield url, post


async def test_a_message_is_handled_before_it_is_acknowledged() -> None:
    """A 204 means that the handler has returned."""
    inbox = Inbox()
    async with receiving(inbox) as (_, post):
        assert await post() == (204, None)
    assert [message.payload for message in inbox.messages] == [{"t": 37.4}]
    assert isinstance(inbox.messages[0], Message)


async def test_the_platform_delivers_every_message(
    emulator: Emulator, session: IottlySession
) -> None:
    """The emulator's posts arrive, and the messages have the same keys as over REST."""
    inbox = Inbox()
    device = emulator.device_ids[0]
    async with receiving(inbox) as (url, _):
        emulator.add_webhook(url + PATH, headers=SECRET)
        emulator.append(device, [{"payload": {"n": n}, "channel": "c"} for n in range(3)])
        async with asyncio.timeout(10):
            while len(inbox.messages) < 3:
                inbox.arrived.clear()
                await inbox.arrived.wait()
    newest = await session.project(emulator.project_id).messages.recent(device, limit=3)
    assert {message.key for message in inbox.messages} == {message.key for message in newest}


async def test_the_platform_delivers_bare_payloads(emulator: Emulator) -> None:
    """With "payload only" on both sides, the handler gets the payload."""
    inbox = Inbox()
    async with receiving(inbox, payload_only=True) as (url, _):
        emulator.add_webhook(url + PATH, headers=SECRET, payload_only=True)
        emulator.append(emulator.device_ids[0], [{"payload": {"n": 7}}])
        async with asyncio.timeout(10):
            await inbox.arrived.wait()
    assert inbox.messages == [{"n": 7}]


@pytest.mark.parametrize("headers", [{}, {"X-Iottly-Secret": "another"}, {"X-Iottly-Secret": ""}])
async def test_a_post_without_the_secret_is_refused(headers: dict[str, str]) -> None:
    """The response is 403 with problem details, and the handler is not called."""
    inbox = Inbox()
    async with receiving(inbox) as (_, post):
        status, problem = await post(headers=headers)
    assert (status, problem["type"]) == (403, "urn:iottly-async:webhook-secret")
    assert inbox.messages == []


async def test_a_repeated_secret_header_is_refused() -> None:
    """Two headers are refused, even if one of them has the secret."""
    inbox = Inbox()
    async with receiving(inbox) as (url, _), aiohttp.ClientSession(url) as http:
        twice = [("X-Iottly-Secret", "a-shared-secret"), ("X-Iottly-Secret", "another")]
        async with http.post(PATH, data=BODY, headers=twice) as answer:
            assert answer.status == 403


@pytest.mark.parametrize("body", [b"", b"not json", b"{}", b'{"msg": {}}', b"\xff"])
async def test_an_invalid_body_is_a_bad_request(body: bytes) -> None:
    """The response is 400 with the path of the error; 502 is for the service's answers."""
    inbox = Inbox()
    async with receiving(inbox) as (_, post):
        status, problem = await post(body)
    assert status == 400
    assert problem["path"].startswith("$")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(chunked: bool) -> None:
    """Reading stops at `max_bytes`, whether or not the size is declared."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1024

    inbox = Inbox()
    async with receiving(inbox, max_bytes=2048) as (_, post):
        status, problem = await post(endless() if chunked else b" " * 4096)
    assert (status, problem["type"]) == (413, "urn:iottly-async:webhook-too-large")


async def test_the_body_may_be_a_compressed_form() -> None:
    """The open-source platform posts a form, and a gateway may compress it."""
    inbox = Inbox()
    form = gzip.compress(urlencode({"msg": json.dumps(MESSAGE)}).encode())
    sent = {**SECRET, "Content-Encoding": "gzip"}
    async with receiving(inbox) as (_, post):
        assert await post(form, sent) == (204, None)
    assert [message.payload for message in inbox.messages] == [MESSAGE["payload"]]


async def test_an_unknown_encoding_is_415() -> None:
    """The response says which encoding is read."""
    inbox = Inbox()
    async with receiving(inbox) as (url, _), aiohttp.ClientSession(url) as http:
        sent = {**SECRET, "Content-Encoding": "compress"}
        async with http.post(PATH, data=BODY, headers=sent) as answer:
            assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "gzip")
            assert "gzip" in (await answer.json(content_type=None))["detail"]
    assert inbox.messages == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_the_content_type_is_ignored(kind: str) -> None:
    """The documents do not say which one the platform sends."""
    inbox = Inbox()
    async with receiving(inbox) as (_, post):
        assert (await post(headers={**SECRET, "Content-Type": kind}))[0] == 204
    assert len(inbox.messages) == 1


@pytest.mark.parametrize(("payload_only", "status"), [(False, 204), (True, 400)])
async def test_a_deeply_nested_payload_is_not_read(payload_only: bool, status: int) -> None:
    """A payload of 10,000 levels is passed on unread; "payload only", which reads it, is 400."""
    nested = b"[" * 10_000 + b"]" * 10_000
    inbox = Inbox()
    async with receiving(inbox, payload_only=payload_only) as (_, post):
        body = nested if payload_only else BODY.replace(b'{"t": 37.4}', nested)
        assert (await post(body))[0] == status
    assert [message.payload_json for message in inbox.messages] == [nested] * (status == 204)


async def test_a_repeated_delivery_is_handled_once() -> None:
    """Later deliveries are acknowledged and dropped."""
    inbox = Inbox()
    async with receiving(inbox) as (_, post):
        assert [(await post())[0] for _ in range(3)] == [204, 204, 204]
    assert len(inbox.messages) == 1


async def test_a_delivery_during_the_first_one_is_refused() -> None:
    """A message that is being handled is not acknowledged yet: the second delivery gets 503."""
    inbox = Inbox()
    inbox.proceed.clear()
    async with receiving(inbox) as (_, post):
        first = asyncio.ensure_future(post())
        await inbox.arrived.wait()
        assert (await post())[0] == 503
        inbox.proceed.set()
        assert (await first)[0] == 204
    assert len(inbox.messages) == 1


async def test_a_message_whose_handling_failed_is_handled_again() -> None:
    """If the handler raises, the response is 500, and the next delivery is handled."""
    inbox = Inbox()
    inbox.error = DownError()
    app = FastAPI()
    app.add_exception_handler(DownError, down)
    app.include_router(webhook_router(inbox.take, secret="a-shared-secret"))
    async with serving(app) as url, aiohttp.ClientSession(url, headers=SECRET) as http:
        async with http.post(PATH, data=BODY) as answer:
            assert answer.status == 500
        inbox.error = None
        async with http.post(PATH, data=BODY) as answer:
            assert answer.status == 204
    assert len(inbox.messages) == 1


class DownError(Exception):
    """Something that the handler needs is down."""


async def down(_request: Any, _error: Exception) -> Any:
    """The response to `DownError`."""
    from fastapi import Response

    return Response(status_code=500)


# -- a memory that workers share -------------------------------------------------------------------


class SharedMemory:
    """A memory with coroutine methods, which may be gone."""

    def __init__(self) -> None:
        self.keys = SeenKeys()
        self.gone = False

    async def claim(self, key: str) -> Claim:
        """Ask whether to handle a message."""
        if self.gone:
            raise WebhookUnavailableError("Redis is gone", retry_after=1.0)
        return self.keys.claim(key)

    async def keep(self, key: str) -> None:
        """Remember that a message was handled."""
        self.keys.keep(key)

    async def release(self, key: str) -> None:
        """Give up a claim."""
        self.keys.release(key)


async def test_a_shared_memory_is_asked_and_told() -> None:
    """A message is handled once, and again if its handling failed."""
    inbox = Inbox()
    async with receiving(inbox, seen=SharedMemory()) as (_, post):
        assert [(await post())[0] for _ in range(3)] == [204, 204, 204]
    assert len(inbox.messages) == 1


async def test_without_its_shared_memory_a_worker_handles_nothing() -> None:
    """The response is 503 with `Retry-After`, so that the sender may try again."""
    inbox, memory = Inbox(), SharedMemory()
    memory.gone = True
    async with (
        receiving(inbox, seen=memory) as (url, post),
        aiohttp.ClientSession(url, headers=SECRET) as http,
    ):
        async with http.post(PATH, data=BODY) as answer:
            problem = await answer.json(content_type=None)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert problem["type"] == "urn:iottly-async:webhook-unavailable"
        assert inbox.messages == []
        memory.gone = False
        assert (await post())[0] == 204
