"""A file of messages becomes a fleet."""

import json
from pathlib import Path
from typing import Any

import pytest

from iottly_async.emulator import Emulator

from .conftest import Api

PAGINATED = {
    "from": "dev-b",
    "to": "p1",
    "timestamp": "2018-07-27T17:50:04.968",
    "devicetimestamp": "2018-07-27T17:49:51",
    "type": "userdefined",
    "payload": {"t": 1.5},
}
HISTORY = {
    "_id": {"$oid": "59c1b5c7e1b4a20001a1b2c3"},
    "from": "dev-a",
    "to": "p1",
    "timestamp": {"$date": "2017-09-20T00:33:27.230Z"},
    "devicetimestamp": {"$date": 1505867607000},
    "type": "iottlyagent",
    "channel": "c",
    "payload": {"connected": True},
}


def write(path: Path, *lines: Any) -> Path:
    """Write a file of lines; a mapping becomes JSON."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


async def test_both_forms(tmp_path: Path, http: Any) -> None:
    """Lines in the form of either endpoint are read, and both endpoints send them unchanged."""
    path = write(tmp_path / "export.jsonl", PAGINATED, "", HISTORY, PAGINATED | {"payload": [2]})
    async with Emulator(jsonl=path) as emulator:
        assert (emulator.project_id, emulator.device_ids) == ("p1", ["dev-b", "dev-a"])
        api = Api(emulator, http)
        messages = (await api.page(sort="asc")).json["messages"]
        assert messages == [PAGINATED, PAGINATED | {"payload": [2]}]
        (message,) = (await api.get(f"{api.project}/messages/dev-a")).json["messages"]
        assert message == HISTORY | {"devicetimestamp": {"$date": "2017-09-20T00:33:27.000Z"}}


async def test_the_state_of_devices(tmp_path: Path) -> None:
    """A device is connected unless its last event in the file is that it disconnected."""
    away = HISTORY | {"payload": {"connection": {"status": "disconnected"}}}
    back = HISTORY | {"payload": {"connection": {"status": "connected"}}}
    lines = [
        *(
            away | {"from": "away"},
            PAGINATED | {"from": "away", "timestamp": "2016-01-01T00:00:00"},
        ),
        *(away | {"from": "back"}, back | {"from": "back"}),
        *(PAGINATED | {"from": f"plain-{n}"} for n in range(20)),
        PAGINATED | {"from": "odd", "type": "iottlyagent", "payload": {"connection": 5}},
    ]
    async with Emulator(jsonl=write(tmp_path / "fleet.jsonl", *lines)) as emulator:
        for device in emulator.device_ids[1:]:
            emulator.append(device)
        with pytest.raises(ValueError, match="disconnected"):
            emulator.append("away")


async def test_what_an_emulator_gives_out(tmp_path: Path, api: Api) -> None:
    """Messages exported from one emulator and loaded into another are the same."""
    stored = api.emulator.stored(api.emulator.device_ids[0])
    lines = (await api.page(l=100, sort="asc")).json["messages"]
    async with Emulator(jsonl=write(tmp_path / "x.jsonl", *lines)) as other:
        found = other.stored(other.device_ids[0])
    for field in ("timestamp", "devicetimestamp", "type", "payload_json", "channel", "device_id"):
        assert [m[field] for m in found] == [m[field] for m in stored[:100]]


async def test_loading_replaces_the_fleet(tmp_path: Path, emulator: Emulator) -> None:
    """A running emulator replaces its fleet by a file's, and resets to it."""
    path = write(tmp_path / "export.jsonl", PAGINATED, HISTORY)
    assert emulator.load_jsonl(path) == 2
    emulator.append("dev-a")
    emulator.reset()
    assert [len(emulator.stored(device)) for device in emulator.device_ids] == [1, 1]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        {"payload": {}},
        {name: value for name, value in PAGINATED.items() if name != "payload"},
        PAGINATED | {"timestamp": "soon"},
        PAGINATED | {"timestamp": None},
        PAGINATED | {"from": 5},
        PAGINATED | {"type": ""},
        HISTORY | {"_id": 5},
    ],
)
async def test_a_line_that_is_no_message(tmp_path: Path, emulator: Emulator, line: Any) -> None:
    """The error for a line that is not a message names it, and the fleet stays as it was."""
    path = write(tmp_path / "export.jsonl", PAGINATED, line)
    before = emulator.device_ids
    with pytest.raises(ValueError, match=r"export\.jsonl, line 2: not a message"):
        emulator.load_jsonl(path)
    assert emulator.device_ids == before


async def test_two_projects(tmp_path: Path, emulator: Emulator) -> None:
    """Messages of several projects are refused: an emulator has one."""
    path = write(tmp_path / "export.jsonl", PAGINATED, PAGINATED | {"to": "p2"})
    with pytest.raises(ValueError, match="2 projects"):
        emulator.load_jsonl(path)
