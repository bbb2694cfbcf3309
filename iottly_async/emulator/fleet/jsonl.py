"""Reads a file of messages, one JSON object a line, as a fleet.

A line is a message as either endpoint sends it: ``from`` (the device), ``to`` (the project),
``timestamp`` and ``devicetimestamp`` as texts or as ``{"$date": …}``, ``type``, ``payload``, and
optionally ``channel`` and ``_id``. Or it is a line that ``iottly ingest`` or ``iottly messages``
wrote, with ``device_id``, ``project_id``, ``device_timestamp`` and ``id`` instead. Blank lines are
skipped.

A device is connected unless its last connection event in the file says "disconnected".
"""

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import attrs

from ..rows import Row, dump_json, load_json, make_row
from ..times import to_ms
from .devices import Fleet, make_fleet

_EXPORTED = {
    "device_id": "from",
    "project_id": "to",
    "device_timestamp": "devicetimestamp",
    "id": "_id",
}
"""The names in an export, and the service's names for the same."""


@attrs.frozen
class _Line:
    device: str
    project: str | None
    timestamp: int
    device_timestamp: int
    type: str
    channel: str | None
    oid: str | None
    payload_json: str


def load_jsonl(
    path: str | PathLike[str], *, seed: int | str, project_id: str, licenses: int
) -> tuple[Fleet, list[Row]]:
    """Read the fleet and the rows of a file; rows by device and time, ties in the file's order.

    The project is the one that the messages name, or ``project_id`` if they name none. Raises
    ``ValueError`` with file and line for a line that is not a message, ``ValueError`` if messages
    belong to several projects, and ``OSError`` if the file cannot be read.
    """
    lines = list(_read(Path(path)))
    projects = {line.project for line in lines if line.project is not None}
    if len(projects) > 1:
        raise ValueError(f"{path}: messages of {len(projects)} projects; an emulator has one")
    ids = list(dict.fromkeys(line.device for line in lines))
    fleet = make_fleet(seed, next(iter(projects), project_id), ids=ids, licenses=licenses)
    rows = []
    by_device = {name: number for number, name in enumerate(ids)}
    lines.sort(key=lambda line: (by_device[line.device], line.timestamp))
    for number, line in enumerate(lines, start=1):
        rows.append(
            make_row(
                by_device[line.device],
                line.timestamp,
                number,
                line.type,
                line.device_timestamp,
                line.payload_json,
                channel=line.channel,
                oid=line.oid,
            )
        )
    for device in fleet.devices:
        device.connected = True
    for row in rows:
        status = _status(row)
        if status is not None:
            fleet.devices[row.device].connected = status != "disconnected"
    return fleet, rows


def _status(row: Row) -> object:
    """What a connection event says of its device; None for any other message."""
    if row.type != "iottlyagent":
        return None
    match load_json(row.payload_json):
        case {"connection": {"status": status}}:
            return status
    return None


def _read(path: Path) -> Iterator[_Line]:
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                yield _line(load_json(text))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not a message: {error}") from None


def _line(value: object) -> _Line:
    if not isinstance(value, Mapping):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the file is wrong, not an argument
    if "payload" not in value:
        raise ValueError("payload is missing")
    if "from" not in value:
        value = {_EXPORTED.get(str(name), str(name)): member for name, member in value.items()}
    moment = to_ms(value.get("timestamp"))
    sent = value.get("devicetimestamp")
    return _Line(
        device=_text(value, "from"),
        project=None if value.get("to") is None else _text(value, "to"),
        timestamp=moment,
        device_timestamp=moment if sent is None else to_ms(sent),
        type=_text(value, "type"),
        channel=None if value.get("channel") is None else _text(value, "channel"),
        oid=_object_id(value.get("_id")),
        payload_json=dump_json(value["payload"]),
    )


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise ValueError(f"{name} is not a non-empty text")
    return found


def _object_id(value: object) -> str | None:
    if value is None:
        return None
    digits = value.get("$oid") if isinstance(value, Mapping) else value
    if not isinstance(digits, str):
        raise ValueError("_id is neither a text nor an object with $oid")  # noqa: TRY004 - as above
    return digits
