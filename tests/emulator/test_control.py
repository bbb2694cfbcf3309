"""The control address, for tests in another process."""

from typing import Any

import pytest

from .conftest import Answer, Api

NO_TIMES: list[Any] = [1e308, -1e308, 10**400, float("nan"), float("inf"), True, "soon", []]


async def control(api: Api, method: str, name: str, body: Any = None) -> Answer:
    """Send a request to the control address, without an API key."""
    options = {} if body is None else {"json": body}
    return await api.ask(method, f"/_emulator/{name}", headers={}, **options)


async def test_state(api: Api) -> None:
    """The state shows fleet and counts, without an API key."""
    answer = await control(api, "GET", "state")
    assert answer.json["project_id"] == api.emulator.project_id
    assert [d["id"] for d in answer.json["devices"]] == api.emulator.device_ids
    assert answer.json["messages"] == 300
    assert api.emulator.api_key.encode() not in answer.body


async def test_faults(api: Api) -> None:
    """A fault is added, listed and removed."""
    await control(api, "POST", "faults", {"kind": "status", "status": 503, "count": None})
    assert (await api.page()).status == 503
    (fault,) = (await control(api, "GET", "faults")).json
    assert (fault["status"], fault["injected"]) == (503, 1)
    await control(api, "DELETE", "faults")
    assert (await api.page()).status == 200


async def test_clock(api: Api) -> None:
    """The clock is pinned, advanced, unpinned and given an offset."""
    pinned = await control(api, "POST", "clock", {"pin": "2026-03-01T12:00:00Z", "advance": 1.5})
    assert pinned.json == {
        "now": "2026-03-01T12:00:01.500000+00:00",
        "offset": 0.0,
        "stamp_offset": 0.0,
        "pinned": True,
    }
    change = {"unpin": True, "offset": -5, "stamp_offset": 3}
    running = (await control(api, "POST", "clock", change)).json
    assert (running["offset"], running["stamp_offset"], running["pinned"]) == (-5, 3, False)
    assert (await control(api, "GET", "clock")).json["offset"] == -5


async def test_devices(api: Api) -> None:
    """A device is connected and disconnected."""
    device = api.emulator.device_ids[0]
    for connected in (False, True):
        body = {"device_id": device, "connected": connected}
        assert (await control(api, "POST", "devices", body)).json == {"connected": connected}
        found = (await control(api, "GET", "state")).json["devices"][0]
        assert found["connected"] is connected


async def test_requests(api: Api) -> None:
    """Requests are listed without those to the control address, and can be forgotten."""
    await api.page(l=3)
    (record,) = (await control(api, "GET", "requests")).json
    assert (record["route"], record["query"], record["rows"]) == ("paginated", {"l": "3"}, 3)
    await control(api, "DELETE", "requests")
    assert (await control(api, "GET", "requests")).json == []


async def test_commands(api: Api) -> None:
    """Executed commands are listed with their bodies."""
    await api.ask("POST", f"{api.fleet_device}/commands", json={"command": "true"})
    (command,) = (await control(api, "GET", "commands")).json
    assert (command["generation"], command["body"]) == ("v1", {"command": "true"})


async def test_append(api: Api) -> None:
    """Messages are appended by number or as given."""
    device = api.emulator.device_ids[-1]
    await control(api, "POST", "append", {"device_id": device, "messages": 2})
    given = [{"payload": {"n": 1}, "timestamp": "2026-03-01T12:00:00Z"}]
    answer = await control(api, "POST", "append", {"device_id": device, "messages": given})
    assert answer.json == {"ids": [303]}
    assert len(api.emulator.stored(device)) == 3
    assert api.emulator.stored(device)[0]["payload"] == {"n": 1}


async def test_a_steady_flow(api: Api) -> None:
    """A rate starts appending, and rate 0 stops it."""
    await control(api, "POST", "append", {"rate": 1000})
    while (await control(api, "GET", "state")).json["messages"] == 300:
        pass
    answer = await control(api, "POST", "append", {"rate": 0})
    assert answer.json == {"rate": None}


async def test_seed_and_reset(api: Api) -> None:
    """Another fleet replaces the old one, and a reset returns to the new one."""
    seeded = await control(api, "POST", "seed", {"seed": 7, "devices": 2, "messages": 10})
    assert (len(seeded.json["devices"]), seeded.json["messages"]) == (2, 10)
    await control(api, "POST", "append", {"device_id": api.emulator.device_ids[0]})
    reset = await control(api, "POST", "reset", {})
    assert reset.json["messages"] == 10
    assert reset.json["devices"] == seeded.json["devices"]


async def test_a_seed_that_fails_changes_nothing(api: Api) -> None:
    """If the new fleet cannot be made, the old one stays."""
    before = (await control(api, "GET", "state")).json
    answer = await control(api, "POST", "seed", {"jsonl": "no-such-file.jsonl", "seed": 9})
    assert answer.status == 400
    assert "no-such-file.jsonl" in answer.json["error"]
    assert (await control(api, "GET", "state")).json | {"clock": 0} == before | {"clock": 0}


@pytest.mark.parametrize(
    ("method", "name", "body", "status"),
    [
        ("GET", "nothing", None, 404),
        ("DELETE", "state", None, 405),
        ("POST", "reset", None, 400),
        ("POST", "faults", {"kind": "flood"}, 400),
        ("POST", "faults", {}, 400),
        ("POST", "faults", {"kind": "status", "injected": 5}, 400),
        ("POST", "clock", {"pin": "soon"}, 400),
        ("POST", "clock", {"speed": 2}, 400),
        ("POST", "append", {}, 400),
        ("POST", "devices", {"device_id": "none", "connected": True}, 400),
        ("POST", "devices", {"connected": 1}, 400),
        ("POST", "append", {"device_id": "no-such-device"}, 400),
        ("POST", "seed", {"devices": -1}, 400),
        ("POST", "seed", {"host": "0.0.0.0"}, 400),
    ],
)
async def test_what_is_refused(api: Api, method: str, name: str, body: Any, status: int) -> None:
    """An unknown name, method, field or value is refused, and the error says why."""
    answer = await control(api, method, name, body)
    assert (answer.status, list(answer.json)) == (status, ["error"])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("seed", {"messages": 1e9}),
        ("seed", {"messages": 10**9}),
        ("seed", {"messages": 10**30}),
        ("seed", {"devices": 10**9}),
        ("seed", {"licenses": 10**9}),
        ("seed", {"days": 10**9}),
        *(
            ("clock", {field: value})
            for field in ("offset", "stamp_offset", "advance", "pin")
            for value in NO_TIMES
        ),
        ("append", {"messages": 10**9}),
        ("append", {"messages": [{"payload": {}, "timestamp": 10**30}]}),
        ("append", {"rate": 1e308}),
        ("append", {"rate": True}),
        ("faults", {"kind": "delay", "seconds": 1e308}),
        ("faults", {"kind": "status", "status": 10**9}),
        ("outage", {"kind": "refuse", "seconds": 1e308}),
    ],
)
async def test_a_value_beyond_all_bounds_is_refused(api: Api, name: str, body: Any) -> None:
    """The error is 400 and says why; the emulator goes on as before."""
    before = (await control(api, "GET", "state")).json
    wanted = name == "append" and "messages" in body
    device = {"device_id": api.emulator.device_ids[0]} if wanted else {}
    answer = await control(api, "POST", name, {**device, **body})
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert (await control(api, "GET", "state")).json | {"clock": 0} == before | {"clock": 0}


async def test_a_page_in_a_browser_cannot_reach_it(api: Api) -> None:
    """A body that is not declared as JSON is refused; another site can send no other kind."""
    answer = await api.ask(
        "POST", "/_emulator/reset", data=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert answer.status == 400
    preflight = await api.ask("OPTIONS", "/_emulator/reset", headers={"Origin": "http://x.test"})
    assert preflight.status == 405
    assert not [name for name in preflight.headers if name.startswith("Access-Control")]
