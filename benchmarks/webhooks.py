"""Webhooks a second through the FastAPI router, compared with a route written by hand.

The server is a process of its own, uvicorn with one worker, and has three routes:

- the webhook router, with a handler that only counts;
- a FastAPI route written by hand, which compares the header and decodes the JSON with the
  standard library (it keeps repeats and does not notice a client that disconnects);
- an ASGI application that reads the body and does nothing.

This process posts over persistent connections, each of which waits for its response, so that
the server is the bottleneck. All webhooks are different messages, so that no dedupe applies.

```sh
python -m benchmarks webhooks --connections 32
```
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from itertools import count, repeat
from typing import Any, Final

import uvicorn
from fastapi import FastAPI, Request, Response

from iottly_async.integrations.fastapi import install, webhook_router
from iottly_async.webhooks.parse import WebhookReceiver

from .pairing import Race, Work
from .table import Figure

QUICK: Final = ["--turns", "11"]

SECRET: Final = "a-shared-secret-of-a-project"
PATHS: Final = {"router": "/webhooks/iottly", "by hand": "/by-hand", "bare ASGI": "/asgi"}
BODY: Final = (
    '{"msg":{"from":"024b98a5-4e9d-4276-87e0-d2fb842ef957","to":"59c19cacecc01400075f3bc9",'
    '"timestamp":"2026-04-30T12:00:00.250","devicetimestamp":"2026-04-30T12:00:00",'
    '"type":"userdefined","payload":{"sensor_data_reading":{"temperature":37.4,"n":%d}}}}'
)


def main(argv: list[str]) -> list[Figure]:
    """Measure as many webhooks as the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks webhooks", description=__doc__)
    parser.add_argument("--webhooks", type=int, default=500, help="webhooks a turn")
    parser.add_argument("--connections", type=int, default=16, help="senders at once")
    parser.add_argument("--turns", type=int, default=41, help="turns, each of one paired ratio")
    given = parser.parse_args(argv)
    return asyncio.run(_measured(given))


async def webhooks(quick: bool) -> list[Figure]:
    """Measure as a part of `live`."""
    turns = 11 if quick else 41
    return await _measured(argparse.Namespace(webhooks=500, turns=turns, connections=16))


async def _measured(given: argparse.Namespace) -> list[Figure]:
    with _server() as (port, cpu):
        return await _measure(given, port, cpu)


async def _measure(given: argparse.Namespace, port: int, cpu: Callable[[], float]) -> list[Figure]:
    numbers = count()
    contenders: dict[str, Work] = {
        name: _posting(port, path, given.webhooks, given.connections, numbers)
        for name, path in PATHS.items()
    }
    race = Race(cpu)
    await race.run(contenders, given.turns)

    def rate(name: str) -> float:
        return 1e6 / race.best(name, "wall")

    return [
        Figure("webhooks a second, router, one worker, at best", rate("router"), unit="/s"),
        Figure("a FastAPI route by hand, at best", rate("by hand"), unit="/s"),
        race.figure("router / a FastAPI route by hand, CPU", "router", "by hand", "cpu"),
        race.figure("router / a FastAPI route by hand, wall", "router", "by hand", "wall"),
        race.figure("router / an ASGI application that does nothing, CPU", "router", "bare ASGI"),
        Figure(
            "CPU of the server a webhook, router, at best", race.best("router", "cpu"), unit="us"
        ),
        Figure("check and read one webhook, without a server", _reading(), unit="us"),
    ]


def _posting(port: int, path: str, webhooks: int, connections: int, numbers: Iterator[int]) -> Work:
    async def work() -> int:
        remaining = iter(repeat(None, webhooks))
        senders = [_Sender(port, path, remaining, numbers) for _ in range(connections)]
        await asyncio.gather(*(sender.run() for sender in senders))
        return sum(sender.accepted for sender in senders)

    return work


class _Sender:
    """One connection; it posts until the turn has no webhook left."""

    def __init__(
        self, port: int, path: str, remaining: Iterator[None], numbers: Iterator[int]
    ) -> None:
        self._port = port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Iottly-Secret: {SECRET}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._remaining = remaining
        self._numbers = numbers
        self.accepted = 0

    async def run(self) -> None:
        """Post, and wait for each response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for _ in self._remaining:
            body = BODY % next(self._numbers)
            writer.write(f"{self._head}{len(body)}\r\n\r\n{body}".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 204 "):
                raise RuntimeError(f"refused: {answer.decode().splitlines()[0]}")
            self.accepted += 1
        writer.close()
        await writer.wait_closed()


def _reading() -> float:
    """The time to check and parse one webhook, in microseconds: the shortest of five runs."""
    receiver, headers = WebhookReceiver(secret=SECRET), {"x-iottly-secret": SECRET}
    body, rounds = (BODY % 7).encode(), 5000
    least = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(rounds):
            receiver.check(headers)
            receiver.message(body)
        least = min(least, time.perf_counter() - begin)
    return least / rounds * 1e6


# --- the server, in a process of its own -----------------------------------------------------

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@contextmanager
def _server() -> Iterator[tuple[int, Callable[[], float]]]:
    """The port of a server that runs as long as the block, and a clock of its CPU seconds."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    context = multiprocessing.get_context("spawn")
    spent = context.Value("d", 0.0, lock=False)
    process = context.Process(target=_serve, args=(sock, spent), daemon=True)
    process.start()
    port: int = sock.getsockname()[1]
    try:
        yield port, lambda: spent.value
    finally:
        process.terminate()
        process.join()
        sock.close()


def _serve(sock: socket.socket, spent: Any) -> None:
    received = count()

    async def handle(_message: Any) -> None:
        next(received)

    app = FastAPI()
    install(app)
    app.include_router(webhook_router(handle, secret=SECRET))
    other = FastAPI()

    @other.post(PATHS["by hand"])
    async def by_hand(request: Request) -> Response:
        if request.headers.get("x-iottly-secret") != SECRET:
            return Response(status_code=403)
        message = (await request.json())["msg"]
        await handle(message)
        return Response(status_code=204)

    async def asgi(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    apps: dict[str, Any] = {PATHS["by hand"]: other, PATHS["bare ASGI"]: asgi}

    async def root(scope: Scope, receive: Receive, send: Send) -> None:
        await apps.get(scope.get("path", ""), app)(scope, receive, send)
        spent.value = time.process_time()

    config = uvicorn.Config(root, log_level="warning", access_log=False)
    uvicorn.Server(config).run([sock])
