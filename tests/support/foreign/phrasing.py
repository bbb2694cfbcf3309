"""Writes the server's data as JSON objects, in a dialect."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from .dialect import Dialect
from .truth import PROJECT, Row

Object = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ODD_TIMES: Final[tuple[Any, ...]] = (
    *("Invalid date", "", "2026-03-01T10:00:60", "2026-00-01T10:00:00", "10000-01-01T00:00:00"),
    *(True, {}, [5], {"$date": "n/a"}, {"$date": None}, 10**30, -1.5, "2026-02-30"),
)
_EAST: Final = timezone(timedelta(hours=2))


class Phrasing:
    """Writes the objects of the API in a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def whole(self, number: int) -> int | float:
        """Write a whole number; as a float, if the dialect has floats."""
        return float(number) if self._dialect.floats else number

    def known(self, value: str) -> str:
        """Write a documented value; an undocumented one, if the dialect has those."""
        return "undocumented" if self._dialect.unknown_values else value

    def object(self, named: Object, optional: Collection[str] = ()) -> Object:
        """Write an object; a dialect may leave out or null its `optional` fields."""
        dialect, said = self._dialect, dict(named)
        for name in optional:
            if dialect.absent:
                said.pop(name, None)
            elif dialect.nulls:
                said[name] = None
        if dialect.extra:
            said |= {"zz_new": {"a": [1]}, "installing": False, "pair_code": None}
        return dict(reversed(said.items())) if dialect.reverse else said

    def error(self, text: str) -> Object:
        """Write an error of generation v1.0."""
        return {"error": text}

    def fleet_error(self, code: str) -> Object:
        """Write an error of generation v1."""
        return {"error": self.object({"code": code, "message": "no", "request_id": "req_1"})}

    def project(self) -> Object:
        """Write the project."""
        optional = {
            "name": "Boilers",
            "projectgetagenturl": "https://agent",
            "agentfile": "agent.sh",
            "agentapihost": "host",
            "board": "Linux",
        }
        return self.object({"id": PROJECT, **optional}, optional)

    def device(self, id_: str, name: str) -> Object:
        """Write a device of the project."""
        optional = {
            "macaddress": "02:00",
            "name": name,
            "operatingstatus": self.known("connected"),
            "token": "token of " + id_,
            "agent_version": "1.0",
        }
        return self.object({**optional, self._dialect.id_key: id_}, optional)

    def board(self, id_: str) -> Object:
        """Write the board of a paired license."""
        optional = {"macaddress": "02", "operatingstatus": "connected", "name": "n"}
        return self.object({**optional, "id": id_}, optional)

    def fleet_device(self, number: int) -> Object:
        """Write a device of the fleet."""
        optional = {
            "name": f"g{number}",
            "project_id": "prj_1",
            "status": self.known(("online", "offline")[number % 2]),
            "last_seen_at": self._dialect.seen,
        }
        return self.object({"id": f"dev_{number}", **optional}, optional)

    def message(self, device: str, row: Row, *, history: bool) -> Object:
        """Write a message, for the history or for a page."""
        dialect = self._dialect
        said: Object = {"from": device.upper() if dialect.shouts else device, "to": PROJECT}
        for name, ms in (("timestamp", row.at), ("devicetimestamp", row.device_at)):
            said[name] = self._date(ms) if history else self._time(ms, dialect.page_time)
        said |= {"type": row.type, "payload": row.payload}
        if history or dialect.ids_on_pages:
            said["_id"] = row.oid if dialect.plain_ids else {"$oid": row.oid}
        if row.channel is not None:
            said["channel"] = 7 if dialect.odd_fields else row.channel
        if dialect.odd_fields:
            said["devicetimestamp"] = _ODD_TIMES[row.at % len(_ODD_TIMES)]
        return self.object(said, ("from", "to", "devicetimestamp"))

    def _date(self, ms: int) -> Object:
        form = self._dialect.history_date
        if form == "long":
            return {"$date": {"$numberLong": str(ms)}}
        return {"$date": self._time(ms, form)}

    def _time(self, ms: int, form: str) -> Any:
        time = _EPOCH + timedelta(milliseconds=ms)
        naive = time.replace(tzinfo=None)
        match form:
            case "epoch-ms":
                return self.whole(ms)
            case "micro":
                return naive.isoformat(timespec="microseconds")
            case "nano":
                return naive.isoformat(timespec="microseconds") + "000"
            case "+02:00":
                return time.astimezone(_EAST).isoformat(timespec="milliseconds")
            case "+00:00":
                return time.isoformat(timespec="milliseconds")
            case "z":
                return naive.isoformat(timespec="milliseconds") + "Z"
            case "space":
                return naive.isoformat(" ", "milliseconds")
        return naive.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
