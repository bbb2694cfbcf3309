"""Generation v1: the fleet, and commands with results."""

from typing import Any

from .dialect import Dialect
from .phrasing import Phrasing
from .request import ForeignAnswer, ForeignRequest
from .truth import FLEET

_OFFLINE = "dev_1"


class FleetApi:
    """Answers requests to the fleet API; `sent` has the bodies of commands."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._say = Phrasing(dialect)
        self._polls: dict[str, int] = {}
        self.sent: list[Any] = []

    def answer(self, request: ForeignRequest) -> ForeignAnswer:
        """Answer a request under `/v1/`."""
        match request.method, *request.path[1:]:
            case "GET", "devices":
                return self._devices(request)
            case "GET", "devices", id_ if id_ in self._ids():
                return ForeignAnswer(200, self._say.fleet_device(int(id_.removeprefix("dev_"))))
            case "POST", "devices", id_, "commands" if id_ in self._ids():
                return self._command(id_, request.body)
            case "GET", "commands", id_ if id_ in self._polls:
                return self._result(id_)
        return ForeignAnswer(404, self._say.fleet_error("not_found"))

    def _ids(self) -> set[str]:
        return {f"dev_{number}" for number in range(FLEET)}

    def _devices(self, request: ForeignRequest) -> ForeignAnswer:
        say = self._say
        number = int(request.query.get("page", 1))
        size = min(int(request.query.get("per_page", 20)), self._dialect.most_devices)
        shown = range(FLEET)[(number - 1) * size : number * size]
        meta = {"total": FLEET, "page": number, "per_page": size}
        return ForeignAnswer(
            200,
            say.object(
                {
                    "data": [say.fleet_device(n) for n in shown],
                    "meta": say.object({name: say.whole(n) for name, n in meta.items()}),
                }
            ),
        )

    def _command(self, device: str, body: Any) -> ForeignAnswer:
        if device == _OFFLINE:
            return ForeignAnswer(self._dialect.offline, self._say.fleet_error("device_offline"))
        id_ = f"cmd_{len(self.sent)}"
        self.sent.append(body)
        self._polls[id_] = 0
        said = {"command_id": id_, "status": self._say.known("pending")}
        return ForeignAnswer(self._dialect.taken, self._say.object(said))

    def _result(self, id_: str) -> ForeignAnswer:
        self._polls[id_] += 1
        said: dict[str, Any] = {"command_id": id_, "status": "pending"}
        if self._polls[id_] == 1:
            return ForeignAnswer(200, self._say.object(said, ("exit_code", "stdout", "stderr")))
        said |= {"status": "completed", "exit_code": self._say.whole(0), "stdout": "up"}
        said |= {"stderr": "", "completed_at": "2026-05-06T14:22:46Z"}
        return ForeignAnswer(200, self._say.object(said))
