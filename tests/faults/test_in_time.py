"""Each call ends by its deadline, and closing by its grace period, to 0.1 s.

The loop's time passes only while nothing happens. So the tests measure what a call waits
for, on any machine, however busy, and nothing else: a timer that is rounded up, a closing
handshake, a pause that begins too late.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

from iottly_async import IottlyError, RetryPolicy, SessionClosedError
from tests.support.calls import GET, Fault, Verb, each_verb, session_on
from tests.support.leaks import no_leaks, until
from tests.support.raw_server import Peer, RawServer, answer, answering
from tests.support.tls import Certificates
from tests.support.virtual_time import run_virtual

from ..pipeline.test_closing import in_every_state, stalls_by_path
from ..transport import test_before_headers, test_body, test_headers
from ..transport.test_connecting import full_queue

MARGIN = 0.1
LIMIT = 0.25
AGAIN = RetryPolicy(max_attempts=20, initial_delay=0.1, max_delay=0.1)

ROOMS = {"before": test_before_headers, "head": test_headers, "body": test_body}
FAULTS = [
    pytest.param(fault, tls, id=f"{'tls' if tls else 'plain'}-{name}-{fault.name}")
    for name, room in ROOMS.items()
    for fault in room.FAULTS
    for tls in ((False,) if name == "head" else (False, True))
]


async def until_it_fails(verb: Verb, url: str, tls: Certificates | None, **settings: Any) -> float:
    """Measure the seconds until the call failed, with a deadline of `LIMIT`."""
    loop = asyncio.get_running_loop()
    all_settings: dict[str, Any] = {"timeout": LIMIT, "retry": AGAIN} | settings
    async with session_on(url, tls, **all_settings) as session:
        begun = loop.time()
        with pytest.raises(IottlyError):
            await verb.make(session)
        return loop.time() - begun


@pytest.mark.parametrize(("fault", "tls"), FAULTS)
@each_verb
def test_under_every_fault(verb: Verb, fault: Fault, tls: bool, certificates: Certificates) -> None:
    """Under every fault of a connection, with retries, the call ends by its deadline."""

    async def main() -> float:
        async with no_leaks():
            trusted = certificates if tls else None
            async with RawServer(fault.play, tls=certificates.server if tls else None) as server:
                return await until_it_fails(verb, server.url, trusted, **fault.settings)

    assert run_virtual(main, listens=True) <= LIMIT + MARGIN


async def silent(peer: Peer) -> None:
    """Send nothing."""
    await peer.stall()


@pytest.mark.parametrize("where", ["connect", "handshake", "name", "certificate"])
@each_verb
def test_while_it_connects(verb: Verb, where: str, certificates: Certificates) -> None:
    """A call that cannot connect ends by its deadline."""

    async def main() -> float:
        async with no_leaks():
            if where == "name":
                return await until_it_fails(verb, "https://iottly.invalid", None)
            context = certificates.untrusted if where == "certificate" else None
            full = full_queue() if where == "connect" else nullcontext("")
            async with RawServer(silent, tls=context) as server:
                with full as url:
                    url = url or server.url.replace("http:", "https:")
                    return await until_it_fails(verb, url, certificates)

    assert run_virtual(main, listens=True) <= LIMIT + MARGIN


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("asked", [None, "0", "1", "0.2", "9" * 400, "soon"])
@each_verb
def test_with_any_retry_after(verb: Verb, asked: str | None, status: int) -> None:
    """No status and no Retry-After makes a call wait beyond its deadline."""
    lines = () if asked is None else (f"Retry-After: {asked}",)
    body = b'{"error": {"code": "c", "message": "m", "request_id": "r"}}'

    async def main() -> float:
        async with no_leaks(), RawServer(answering(status, body, *lines)) as server:
            return await until_it_fails(verb, server.url, None)

    assert run_virtual(main, listens=True) <= LIMIT + MARGIN


def test_a_long_deadline_is_not_rounded() -> None:
    """Time limits above 5 s, which aiohttp rounds up, are exact."""

    async def main() -> list[float]:
        async with no_leaks(), RawServer(silent) as server:
            url = server.url.replace("http:", "https:")
            once: dict[str, Any] = {"retry": RetryPolicy(max_attempts=1), "timeout": 60.0}
            return [
                await until_it_fails(GET, server.url, None, attempt_timeout=7.3, **once),
                await until_it_fails(GET, url, None, connect_timeout=7.3, **once),
            ]

    assert run_virtual(main, listens=True) == pytest.approx([7.3, 7.3], abs=MARGIN)


@pytest.mark.parametrize("grace", [0.0, 0.5, 7.3])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_closing_ends_by_its_grace(grace: float, tls: bool, certificates: Certificates) -> None:
    """With calls in every state, closing ends by its grace period, and every call fails."""

    async def main() -> float:
        context = certificates.server if tls else None
        loop = asyncio.get_running_loop()
        async with no_leaks(), RawServer(stalls_by_path, tls=context) as server:
            session = session_on(
                server,
                certificates if tls else None,
                max_connections=9,
                timeout=1000.0,
                attempt_timeout=500.0,
            )
            await session.devices.get("good")
            calls = [asyncio.create_task(call) for call in in_every_state(session)]
            await until(lambda: len(server.requests) >= 8, "the requests")
            begun = loop.time()
            await session.aclose(grace=grace)
            took = loop.time() - begun
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(result) for result in results} == {SessionClosedError}
            return took

    took = run_virtual(main, listens=True)
    assert grace == pytest.approx(took, abs=MARGIN)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_closing_does_not_wait_for_a_deaf_peer(tls: bool, certificates: Certificates) -> None:
    """Kept connections are closed without the peer's closing handshake."""

    async def good_then_deaf(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(200, GET.body))
        peer.stop_reading()
        await peer.stall()

    async def main() -> float:
        context = certificates.server if tls else None
        loop = asyncio.get_running_loop()
        async with no_leaks(), RawServer(good_then_deaf, tls=context) as server:
            session = session_on(server, certificates if tls else None)
            await GET.make(session)
            begun = loop.time()
            await session.aclose()
            return loop.time() - begun

    assert run_virtual(main, listens=True) <= MARGIN
