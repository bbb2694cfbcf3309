"""The server: its connections, its credentials, and the two generations of the API."""

import asyncio
from types import TracebackType
from typing import Any, Self

from .dialect import Dialect
from .fleet_api import FleetApi
from .framing import closes, written
from .project_api import ProjectApi
from .request import ForeignAnswer, ForeignRequest
from .truth import KEY, PROJECT, truth


class ForeignServer:
    """A server on loopback that speaks a dialect, while its `async with` block lasts.

    Attributes:
        truth: its data.
        key: the credential.
        project: the project of the credential.
        url: its address.
        requests: method, target and status of each request, in order.
    """

    key = KEY
    project = PROJECT

    def __init__(self, dialect: Dialect) -> None:
        self.truth = truth(
            odd_type="undocumented" if dialect.unknown_values else "iottlyagent",
            whole_seconds=dialect.page_time == "seconds-apart",
        )
        self.url = ""
        self.requests: list[tuple[str, str, int]] = []
        self._dialect = dialect
        self._project = ProjectApi(dialect, self.truth)
        self._fleet = FleetApi(dialect)
        self._open: set[asyncio.Task[None]] = set()

    @property
    def commands(self) -> list[Any]:
        """The bodies of the commands sent to devices of the project."""
        return self._project.sent

    @property
    def fleet_commands(self) -> list[Any]:
        """The bodies of the commands sent to devices of the fleet."""
        return self._fleet.sent

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._exchange(reader, writer)
                if closes(self._dialect):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client has closed the connection
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        pairs = (field.split(":", 1) for field in fields)
        headers = {name.lower(): value.strip() for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        answer = self._answer(ForeignRequest.of(method, target, headers, body))
        self.requests.append((method, target, answer.status))
        data = written(self._dialect, answer)
        step = self._dialect.pieces or len(data)
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)  # draining alone does not let other tasks run

    def _answer(self, request: ForeignRequest) -> ForeignAnswer:
        headers = request.headers
        project, fleet = headers.get("authentication"), headers.get("authorization")
        if request.body is not None and headers.get("content-type") != "application/json":
            return ForeignAnswer(400, {"error": "a body of no known type"})
        match request.path[0]:
            case "v1.0" if (project, fleet) == (f"bearer {KEY}", None):
                return self._project.answer(request)
            case "v1" if (project, fleet) == (None, f"Bearer {KEY}"):
                return self._fleet.answer(request)
            case "v1.0":
                return ForeignAnswer(401, {"error": "no"})
            case "v1":
                return ForeignAnswer(401, {"error": {"code": "unauthorized", "message": "no"}})
        return ForeignAnswer(404, {"error": "no such generation"})
