"""Generation v1.0: a project, its licenses, devices, commands and messages."""

import json
from collections.abc import Callable
from typing import Any

from .asked import Answer, Asked
from .dialect import Dialect
from .filters import fits
from .phrasing import Object, Phrasing
from .truth import PROJECT, Truth

_TYPES = ("all", "userdefined", "iottlyagent")


class ProjectApi:
    """Answers by the truth; what was sent to devices is kept in ``sent``."""

    def __init__(self, dialect: Dialect, truth: Truth) -> None:
        self._dialect = dialect
        self._truth = truth
        self._say = Phrasing(dialect)
        self._names = {id_: f"dév {n}" for n, id_ in enumerate(truth.devices)}
        self.sent: list[Any] = []

    def answer(self, asked: Asked) -> Answer:
        """The answer to what lies under ``/v1.0/``."""
        match asked.method, *asked.path[1:]:
            case "GET", "project", "ping":
                return Answer(200, self._say.object({"status": "pong"}))
            case _, "project", project, *_ if project != PROJECT:
                return Answer(403, self._say.error("another project"))
            case "GET", "project", _, "inspect":
                return Answer(200, self._say.project())
            case "GET", "project", _, "license":
                return Answer(200, self._licenses())
            case "GET", "project", _, "license", token:
                return self._license(token)
            case "GET", "project", _, "devices", "props":
                return Answer(200, self._devices())
            case "GET", "project", _, "messages", device if device in self._names:
                return self._safely(self._history, asked, device)
            case _, "project", _, "device", device, *rest if device in self._names:
                return self._of_device(asked, device, rest)
        return self._nothing()

    def _safely(self, reading: Callable[[Asked, str], Answer], asked: Asked, device: str) -> Answer:
        try:
            return reading(asked, device)
        except ValueError as error:
            return Answer(400, self._say.error(str(error)))

    def _nothing(self) -> Answer:
        return Answer(404, self._say.error("no such thing"))

    def _licenses(self) -> Object:
        say = self._say
        paired = {
            f"t{n}": say.object({"status": "paired", "board": say.board(id_)})
            for n, id_ in enumerate(self._names)
        }
        free = say.object({"status": say.known("available"), "board": {}}, ["board"])
        return {**paired, "free": free}

    def _license(self, token: str) -> Answer:
        licenses = self._licenses()
        if token not in licenses:
            return self._nothing()
        return Answer(200, {token: licenses[token]})

    def _devices(self) -> Object:
        devices = [self._say.device(*item) for item in self._names.items()]
        said = {"count": self._say.whole(len(devices)), "errors": None, "devices": devices}
        return self._say.object(said, ("count", "errors"))

    def _of_device(self, asked: Asked, device: str, rest: list[str]) -> Answer:
        match asked.method, *rest:
            case "GET", "props":
                return Answer(200, self._say.device(device, self._names[device]))
            case "PUT", "props":
                self._names[device] = asked.body["name"]
                return Answer(self._dialect.taken, self._say.device(device, asked.body["name"]))
            case "POST", "command":
                return self._command(asked.body)
            case "GET", "messages", "paginated":
                return self._safely(self._page, asked, device)
        return self._nothing()

    def _command(self, body: Any) -> Answer:
        kind = body["cmd_type"]
        if kind != "echo" or not all(key.startswith(kind + ".") for key in body["values"]):
            return Answer(400, self._say.error("no such command"))
        self.sent.append(body)
        return Answer(self._dialect.taken, {})

    def _history(self, asked: Asked, device: str) -> Answer:
        wanted = json.loads(asked.query.get("queryJson", "{}"))
        found = [row for row in self._truth.rows[device] if fits(row, wanted)]
        latest = found[::-1][: int(asked.query.get("numMessages", 10))]
        messages = [self._say.message(device, row, history=True) for row in latest]
        said = {"status": self._say.whole(200), "messages": messages}
        return Answer(200, self._say.object(said, ["status"]))

    def _page(self, asked: Asked, device: str) -> Answer:
        dialect, query = self._dialect, asked.query
        number = int(query.get("p", dialect.first_page)) - dialect.first_page
        size, kind = int(query.get("l", 50)), query.get("type", "all")
        order = query.get("sort", "desc")
        if number < 0 or not 1 <= size <= 100 or kind not in _TYPES or order not in ("asc", "desc"):
            raise ValueError("a parameter is not as described")
        start = asked.time("from", dialect.filter_time)
        end = asked.time("to", dialect.filter_time)
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
            return Answer(404, self._say.error("no messages"))
        messages = [self._say.message(device, row, history=False) for row in rows]
        return Answer(200, self._say.object({"messages": messages}))
