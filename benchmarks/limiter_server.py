"""A server process with a quota, for benchmarks and tests of limiters.

    python -m benchmarks.limiter_server --algorithm sliding --limit 200 --window 2

It prints its port, and serves until its stdin ends. Every `GET` is counted, except two addresses
of its own: `/_counts` answers what was admitted and refused and when, ours and the other
client's; `/_reset` begins anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

from .limiter_quota import ALGORITHMS, quota


class State:
    """One key's quota and what became of it."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.chance = random.Random(given.seed)
        self.round = math.floor if given.round == "down" else math.ceil
        self.reset()

    def reset(self) -> None:
        """An unused quota, and nothing counted."""
        self.quota = quota(self.given.algorithm, self.given.limit, self.given.window)
        self.admitted: list[float] = []
        self.refused: list[float] = []
        self.others = {"admitted": 0, "refused": 0}

    def now(self) -> float:
        """The time by this server's clock, which may be wrong."""
        return time.time() + float(self.given.skew)

    def count(self) -> tuple[int, str]:
        """One request of ours: the status, and the head's fields on the quota."""
        now = self.now()
        admitted, remaining, reset = self.quota.take(now)
        (self.admitted if admitted else self.refused).append(now)
        fields = (
            f"Date: {formatdate(math.floor(now), usegmt=True)}\r\n"
            f"X-RateLimit-Limit: {self.given.limit}\r\n"
            f"X-RateLimit-Remaining: {remaining}\r\n"
            f"X-RateLimit-Reset: {self.round(reset)}\r\n"
        )
        if not admitted and self.given.retry_after:
            fields += f"Retry-After: {max(1, math.ceil(reset - now))}\r\n"
        return (200 if admitted else 429), fields

    def counts(self) -> str:
        """What was counted, as JSON; times by this server's clock."""
        return json.dumps(
            {"admitted": self.admitted, "refused": self.refused, "others": self.others}
        )

    async def other_client(self) -> None:
        """Somebody else on the same key, who wishes for a share of the quota, evenly."""
        gap = self.given.window / (self.given.other * self.given.limit)
        due = time.monotonic()
        while True:
            due += gap * self.chance.uniform(0.5, 1.5)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            admitted = self.quota.take(self.now()).admitted
            self.others["admitted" if admitted else "refused"] += 1


class Connection(asyncio.Protocol):
    """One connection: reads heads of requests, and answers each after the latency."""

    transport: asyncio.Transport

    def __init__(self, state: State) -> None:
        self._state = state
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while b"\r\n\r\n" in self._pending:
            head, _, self._pending = self._pending.partition(b"\r\n\r\n")
            self._request(head.split(b" ", 2)[1].decode())

    def _request(self, path: str) -> None:
        state = self._state
        if path == "/_counts":
            self._send(200, "", state.counts())
        elif path == "/_reset":
            state.reset()
            self._send(200, "", "{}")
        else:
            status, fields = state.count()
            latency = state.chance.uniform(*state.given.latency)
            loop = asyncio.get_running_loop()
            loop.call_later(latency, self._send, status, fields, '{"ok": true}')

    def _send(self, status: int, fields: str, body: str) -> None:
        reason = "OK" if status == 200 else "Too Many Requests"
        head = (
            f"HTTP/1.1 {status} {reason}\r\nServer: quota\r\n{fields}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.transport.write((head + body).encode())


async def serve(given: argparse.Namespace) -> None:
    """Serve until stdin ends."""
    state = State(given)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    other = asyncio.create_task(state.other_client()) if given.other else None
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    if other is not None:
        other.cancel()
    server.close()


def arguments() -> argparse.ArgumentParser:
    """What the server takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="fixed")
    parser.add_argument("--limit", type=int, default=200, help="requests a window")
    parser.add_argument("--window", type=float, default=2.0, help="seconds")
    parser.add_argument("--skew", type=float, default=0.0, help="seconds its clock is ahead")
    parser.add_argument("--other", type=float, default=0.0, help="another client's wish, a share")
    parser.add_argument("--latency", type=float, nargs=2, default=(0.02, 0.05), help="from, to")
    parser.add_argument("--round", choices=("up", "down"), default="up", help="Reset, to seconds")
    parser.add_argument("--retry-after", action="store_true", help="send it with a 429")
    parser.add_argument("--seed", type=int, default=0)
    return parser


@contextmanager
def quota_server(*options: str) -> Iterator[str]:
    """A server in another process, with these command line options; its address."""
    command = [sys.executable, "-m", "benchmarks.limiter_server", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(serve(arguments().parse_args()))
