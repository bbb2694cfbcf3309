"""Hostile bodies for the control address: each is answered with 200 or 400, and it goes on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iottly_async.emulator import EmulatorThread
from tests.support.scale import sized

HUGE = [1e9, 1e300, 10**30, -(10**30), 2**63, -1, -0.5, 1.5, 1e-320, True]

FIELDS: dict[str, dict[str, Any]] = {
    "seed": {"devices": 2, "messages": 5, "days": 3, "until": 1_700_000_000_000, "licenses": 1},
    "clock": {"offset": 1, "stamp_offset": 1, "pin": 1_700_000_000_000, "advance": 1},
    "append": {"device_id": "", "messages": 1, "late_by": 0.1, "timestamp": 5, "raw": [1]},
    "faults": {"kind": "stall", "count": 1, "skip": 1, "probability": 1, "seconds": 0, "row": 1},
    "streams": {"drop": 1000, "lose": 1, "reverse": 1, "heartbeat": 5},
    "outage": {"kind": "html", "seconds": 0.001, "status": 503},
    "webhooks": {"url": "http://127.0.0.1:9/", "type": "all", "headers": {}},
    "devices": {"device_id": "", "connected": True},
    "reset": {},
}

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from([*HUGE, "\ud800", "2026-01-01T00:00:00Z", "/dev/zero", "/", "x\0y", "all"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """A small fleet."""
    with EmulatorThread(devices=2, messages=20) as running:
        yield running


def send(emulator: EmulatorThread, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and content of an answer."""
    connection = http.client.HTTPConnection(emulator.base_url.removeprefix("http://"), timeout=20)
    try:
        headers = {
            "Authentication": f"bearer {emulator.api_key}",
            "Content-Type": "application/json",
        }
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def assert_well(emulator: EmulatorThread) -> None:
    """It serves what it always serves, once the clock and the faults are back."""
    emulator.clear_faults()
    emulator.end_outage()
    emulator.stop_appending()
    emulator.clear_webhooks()
    device = emulator.device_ids[0] if emulator.device_ids else None
    if device is not None:
        path = f"/v1.0/project/{emulator.project_id}/device/{device}/messages/paginated?l=100"
        assert send(emulator, "GET", path)[0] in (200, 404)
    assert send(emulator, "GET", "/_emulator/state")[0] == 200


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("seed", {"messages": 1e9}),
        ("seed", {"messages": 10**9}),
        ("seed", {"devices": 10**7}),
        ("seed", {"licenses": 10**8}),
        ("seed", {"days": 10**9}),
        ("seed", {"until": 10**17}),
        ("seed", {"until": -(10**13)}),
        ("seed", {"seed": [1]}),
        ("seed", {"jsonl": "/dev/zero"}),
        ("seed", {"jsonl": "/dev/stdin"}),
        ("seed", {"jsonl": 0}),
        ("clock", {"offset": 1e300}),
        ("clock", {"offset": "inf"}),
        ("clock", {"offset": "nan"}),
        ("clock", {"stamp_offset": -1e300}),
        ("clock", {"pin": 10**15}),
        ("clock", {"pin": -(10**17)}),
        ("clock", {"advance": 1e12}),
        ("clock", {"pin": 0, "advance": -1}),
        ("append", {"device_id": 0, "messages": 10**9}),
        ("append", {"device_id": 0, "messages": 500_000}),
        ("append", {"device_id": 0, "messages": [{"timestamp": 10**15}]}),
        ("append", {"device_id": 0, "messages": [{"timestamp": -(10**15)}]}),
        ("append", {"device_id": 0, "messages": [5]}),
        ("append", {"device_id": 0, "messages": [[]]}),
        ("append", {"device_id": 0, "messages": [{"type": 3}]}),
        ("append", {"device_id": 0, "messages": [{"channel": {}}]}),
        ("append", {"device_id": 0, "messages": [{"payload_json": "\ud800"}]}),
        ("append", {"device_id": 0, "late_by": 1e300}),
        ("append", {"device_id": 0, "late_by": [2, 1]}),
        ("append", {"device_id": 0, "late_by": [1, 2, 3]}),
        ("append", {"rate": 1e300}),
        ("append", {"rate": 5, "device_ids": [[]]}),
        ("faults", {"kind": "stall", "seconds": 1e300}),
        ("faults", {"kind": "stall", "seconds": -1}),
        ("faults", {"kind": "date", "seconds": 1e300}),
        ("faults", {"kind": "status", "status": 404.5}),
        ("faults", {"kind": "status", "route": 5}),
        ("faults", {"kind": "status", "method": 5}),
        ("faults", {"kind": "status", "count": 1.5}),
        ("faults", {"kind": "status", "body": "\ud800"}),
        ("faults", {"kind": "status", "headers": {"X-A": "a\r\nX-B: b"}}),
        ("faults", {"kind": "status", "headers": {"X A": "a"}}),
        ("faults", {"kind": "status", "headers": {"X-A": 5}}),
        ("faults", {"kind": "html", "headers": {"X-A": "\u20ac"}}),
        ("streams", {"lose": -1}),
        ("streams", {"lose": 1e300}),
        ("streams", {"heartbeat": 1e300}),
        ("streams", {"drop": 1000.5}),
        ("outage", {"kind": "html", "seconds": 1e300}),
        ("outage", {"kind": "html", "status": 503.0}),
        ("webhooks", {"url": 5}),
        ("webhooks", {"url": "http://127.0.0.1/", "headers": {"a": 5}}),
    ],
    ids=str,
)
def test_beyond_bounds(name: str, body: dict[str, Any], emulator: EmulatorThread) -> None:
    """A value beyond its bounds is 400 with a text, and changes nothing."""
    if body.get("device_id") == 0:
        body = body | {"device_id": emulator.device_ids[0]}
    before = send(emulator, "GET", "/_emulator/state")[1]
    status, answer = send(emulator, "POST", f"/_emulator/{name}", body)
    assert (status, list(answer)) == (400, ["error"])
    assert len(answer["error"]) > 10
    after = send(emulator, "GET", "/_emulator/state")[1]
    assert {**after, "clock": after["clock"] | {"now": 0}} == {
        **before,
        "clock": before["clock"] | {"now": 0},
    }


@settings(max_examples=sized(60, 3000))
@given(data=st.data())
def test_any_body(data: st.DataObject, emulator: EmulatorThread) -> None:
    """Any body is answered with 200 or 400, and the emulator serves as before."""
    name = data.draw(st.sampled_from(sorted(FIELDS)))
    usual = {
        field: emulator.device_ids[0] if field == "device_id" and emulator.device_ids else value
        for field, value in FIELDS[name].items()
    }
    body = dict(usual) if data.draw(st.booleans()) else {}
    for field in data.draw(st.lists(st.sampled_from([*usual, "other"]), max_size=2)):
        body[field] = data.draw(values)
    try:
        status, answer = send(emulator, "POST", f"/_emulator/{name}", body)
    except ConnectionError:
        assert name == "outage"
    else:
        assert status in (200, 400), answer
    assert_well(emulator)
