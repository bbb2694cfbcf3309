"""Rows of any form, served as they are, to try what a client does with them (D8)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import Api

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ODD: list[Any] = [
    {"from": "a", "timestamp": "2026-03-01T12:00:01", "devicetimestamp": "n/a", "type": 3},
    "a text where a message belongs",
    None,
    {"from": "a", "payload": {"n": 1}},
]


async def control(api: Api, body: Any) -> Any:
    """Append by the control address."""
    answer = await api.ask("POST", "/_emulator/append", headers={}, json=body)
    return answer.status, answer.json


async def test_they_are_served_as_they_are(empty: Api) -> None:
    """Rows stand where their own time or the given one says, between ordinary messages."""
    emulator, device = empty.emulator, empty.emulator.device_ids[0]
    emulator.append(device, [{"timestamp": NOON, "payload": "before"}])
    emulator.append_raw(device, ODD[:1])
    emulator.append_raw(device, ODD[1:], timestamp=NOON + timedelta(seconds=2))
    emulator.append(device, [{"timestamp": NOON + timedelta(seconds=3), "payload": "after"}])
    served = (await empty.page(sort="asc")).json["messages"]
    assert served[1:-1] == ODD
    assert [message["payload"] for message in (served[0], served[-1])] == ["before", "after"]
    page = await empty.page(sort="asc", from_="2026-03-01T12:00:01", to="2026-03-01T12:00:02")
    assert page.json["messages"] == ODD[:1]
    history = (await empty.get(f"{empty.history}?numMessages=10")).json["messages"]
    assert history[1:-1] == ODD[::-1]


async def test_bytes_are_sent_as_they_are(empty: Api) -> None:
    """Bytes need not be JSON; they are stored and sent as they are."""
    text = '{"from": "a",  "timestamp": 1e999, "timestamp": cut'
    (row,) = empty.emulator.append_raw(empty.emulator.device_ids[0], [text.encode()])
    assert (await empty.page()).body == f'{{"messages":[{text}]}}'.encode()
    (stored,) = empty.emulator.stored(empty.emulator.device_ids[0])
    assert (stored["id"], stored["raw"]) == (row, text)


async def test_filters_see_them(empty: Api) -> None:
    """The history's filters look into a row that is an object, and pass over any other."""
    empty.emulator.append_raw(empty.emulator.device_ids[0], ODD)
    query = quote(json.dumps({"payload.n": 1}))
    found = (await empty.get(f"{empty.history}?queryJson={query}")).json["messages"]
    assert found == ODD[-1:]
    odd_type = (await empty.page(type="userdefined")).json["messages"]
    assert len(odd_type) == len(ODD)


async def test_a_stream_sends_them(empty: Api) -> None:
    """A stream carries a row as it is."""
    headers = {"Authorization": f"Bearer {empty.emulator.api_key}"}
    async with empty.http.ws_connect(f"{empty.emulator.base_url}/v1/stream", headers=headers) as ws:
        await ws.send_json({"type": "hello", "version": 1})
        await ws.send_json({"type": "subscribe", "devices": None})
        await empty.emulator.until_streams(1)
        empty.emulator.append_raw(empty.emulator.device_ids[0], ODD)
        frames = [await ws.receive_json() for _ in range(2 + len(ODD))]
    assert [frame["message"] for frame in frames[2:]] == ODD


async def test_by_the_control_address(empty: Api) -> None:
    """A test in another process appends rows of any form as well."""
    device = empty.emulator.device_ids[0]
    body = {"device_id": device, "raw": ODD, "timestamp": "2026-03-01T12:00:00Z"}
    assert await control(empty, body) == (200, {"ids": [1, 2, 3, 4]})
    assert (await empty.page(sort="asc")).json["messages"] == ODD
    assert (await control(empty, {"device_id": device, "raw": "text"}))[0] == 400


@pytest.mark.parametrize("wrong", [b"\xff", float("nan")])
async def test_what_is_refused(empty: Api, wrong: Any) -> None:
    """A row that no answer can hold is refused, and nothing is stored."""
    device = empty.emulator.device_ids[0]
    with pytest.raises(ValueError):
        empty.emulator.append_raw(device, [None, wrong])
    assert empty.emulator.stored(device) == []
