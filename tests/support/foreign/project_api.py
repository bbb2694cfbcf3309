"""Generation v1.0: a project with its licenses, devices, commands and messages."""

import json
from collections.abc import Callable
from typing import Any

from .dialect import Dialect
from .filters import matches
from .phrasing import Object, Phrasing
from .request import ForeignAnswer, ForeignRequest
from .truth import PROJECT, Truth

_TYPES = ("all", "userdefined", "iottlyagent")


class ProjectApi:
    """Answers requests to the project API; `sent` has the bodies of commands."""

    def __init__(self, dialect: Dialect, truth: Truth) -> None:
        self._dialect = dialect
        self._truth = truth
        self._say = Phrasing(dialect)
        self._names = {id_: f"dév {n}" for n, id_ in enumerate(truth.devices)}
        self.sent: list[Any] = []

    def answer(self, request: ForeignRequest) -> ForeignAnswer:
        """Answer a request under `/v1.0/`."""
        match request.method, *request.path[1:]:
            case "GET", "project", "ping":
                return ForeignAnswer(200, self._say.object({"status": "pong"}))
            case _, "project", project, *_ if project != PROJECT:
                return ForeignAnswer(403, self._say.error("another project"))
            case "GET", "project", _, "inspect":
                return ForeignAnswer(200, self._say.project())
            case "GET", "project", _, "license":
                return ForeignAnswer(200, self._licenses())
            case "GET", "project", _, "license", token:
                return self._license(token)
            case "GET", "project", _, "devices", "props":
                return ForeignAnswer(200, self._devices())
            case "GET", "project", _, "messages", device if device in self._names:
                return self._safely(self._history, request, device)
            case _, "project", _, "device", device, *rest if device in self._names:
                return self._of_device(request, device, rest)
        return self._nothing()

    def _safely(
        self,
        reading: Callable[[ForeignRequest, str], ForeignAnswer],
        request: ForeignRequest,
        device: str,
    ) -> ForeignAnswer:
        try:
            return reading(request, device)
        except ValueError as error:
            return ForeignAnswer(400, self._say.error(str(error)))

    def _nothing(self) -> ForeignAnswer:
        return ForeignAnswer(404, self._say.error("no such thing"))

    def _licenses(self) -> Object:
        say = self._say
        paired = {
            f"t{n}": say.object({"status": "paired", "board": say.board(id_)})
            for n, id_ in enumerate(self._names)
        }
        free = say.object({"status": say.known("available"), "board": {}}, ["board"])
        return {**paired, "free": free}

    def _license(self, token: str) -> ForeignAnswer:
        licenses = self._licenses()
        if token not in licenses:
            return self._nothing()
        return ForeignAnswer(200, {token: licenses[token]})

    def _devices(self) -> Object:
        devices = [self._say.device(*item) for item in self._names.items()]
        said = {"count": self._say.whole(len(devices)), "errors": None, "devices": devices}
        return self._say.object(said, ("count", "errors"))

    def _of_device(self, request: ForeignRequest, device: str, rest: list[str]) -> ForeignAnswer:
        match request.method, *rest:
            case "GET", "props":
                return ForeignAnswer(200, self._say.device(device, self._names[device]))
            case "PUT", "props":
                self._names[device] = request.body["name"]
                return ForeignAnswer(
                    self._dialect.taken, self._say.device(device, request.body["name"])
                )
            case "POST", "command":
                return self._command(request.body)
            case "GET", "messages", "paginated":
                return self._safely(self._page, request, device)
        return self._nothing()

    def _command(self, body: Any) -> ForeignAnswer:
        kind = body["cmd_type"]
        if kind != "echo" or not all(key.startswith(kind + ".") for key in body["values"]):
            return ForeignAnswer(400, self._say.error("no such command"))
        self.sent.append(body)
        return ForeignAnswer(self._dialect.taken, {})

    def _history(self, request: ForeignRequest, device: str) -> ForeignAnswer:
        wanted = json.loads(request.query.get("queryJson", "{}"))
        found = [row for row in self._truth.rows[device] if matches(row, wanted)]
        latest = found[::-1][: int(request.query.get("numMessages", 10))]
        if self._dialect.oldest_first:
            latest.reverse()
        messages = [self._say.message(device, row, history=True) for row in latest]
        said = {"status": self._say.whole(200), "messages": messages}
        return ForeignAnswer(200, self._say.object(said, ["status"]))

    def _page(self, request: ForeignRequest, device: str) -> ForeignAnswer:
        dialect, query = self._dialect, request.query
        number = int(query.get("p", dialect.first_page)) - dialect.first_page
        size, kind = int(query.get("l", 50)), query.get("type", "all")
        order = query.get("sort", "desc")
        if number < 0 or not 1 <= size <= 100 or kind not in _TYPES or order not in ("asc", "desc"):
            raise ValueError("a parameter is not as described")
        start = request.time("from", dialect.filter_time)
        end = request.time("to", dialect.filter_time)
        rows = [
            row
            for row in self._truth.rows[device]
            if (start is None or row.at >= start - start % dialect.rounds_to)
            and (end is None or row.at < end)
            and kind in ("all", row.type)
        ]
        if order == "desc":
            rows.reverse()
        size = min(size, dialect.most)
        rows = rows[number * size : (number + 1) * size]
        if not rows and dialect.empty == 404:
            return ForeignAnswer(404, self._say.error("no messages"))
        messages = [self._say.message(device, row, history=False) for row in rows]
        return ForeignAnswer(200, self._say.object({"messages": messages}))
