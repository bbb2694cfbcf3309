"""The FastAPI backend of the examples: its API, as a user's own test would ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from examples.fastapi_backend.main import create_app
from iottly_async.emulator import EmulatorThread

SECRET = "a-shared-secret"


@pytest.fixture
def client(
    iottly_environment: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """A client of the backend, whose settings and session come from the environment."""
    monkeypatch.setenv("IOTTLY_WEBHOOK_SECRET", SECRET)
    with TestClient(create_app()) as client:
        yield client


def test_devices(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """All of them, and one by its id."""
    found = client.get("/api/devices").json()
    assert [device["id"] for device in found] == iottly_emulator.device_ids
    assert client.get(f"/api/devices/{found[1]['id']}").json() == found[1]
    assert not any("token" in device for device in found), "a licence is no browser's business"


def test_a_device_that_there_is_not(client: TestClient) -> None:
    """A problem, with the status of the service."""
    answer = client.get("/api/devices/no-such-device")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_recent_messages(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """The newest first, as many as were asked for."""
    device = iottly_emulator.device_ids[0]
    iottly_emulator.append(device, [{"payload": {"n": 1}}, {"payload": {"n": 2}}])
    found = client.get(f"/api/devices/{device}/recent", params={"limit": 2}).json()
    assert sorted(message["payload"]["n"] for message in found) == [1, 2]


@pytest.mark.parametrize("at_least", [1, 100, 1000])
def test_a_history_is_paged_through_to_its_end(
    client: TestClient, iottly_emulator: EmulatorThread, at_least: int
) -> None:
    """Following the header `Link` gives every message once, in order of time."""
    device = iottly_emulator.device_ids[0]
    found: list[Any] = []
    url: str | None = f"/api/devices/{device}/messages?at_least={at_least}"
    while url is not None:
        answer = client.get(url)
        page = answer.json()
        found += page["messages"]
        url = answer.links["next"]["url"] if "next" in answer.links else None
        assert (url is None) == (page["cursor"] is None)
    stored = iottly_emulator.stored(device)
    assert len(found) == len({message["key"] for message in found}) == len(stored)
    times = [message["timestamp"] for message in found]
    assert times == sorted(times)


def test_a_cursor_that_is_none_is_refused(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """A client's mistake is told as one."""
    path = f"/api/devices/{iottly_emulator.device_ids[0]}/messages"
    assert client.get(path, params={"cursor": "made up"}).status_code == 422


def test_a_command(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """It reaches the device once, with its parameters."""
    device = iottly_emulator.device_ids[0]
    body = {"type": "echo", "values": {"content": "hi"}}
    assert client.post(f"/api/devices/{device}/commands", json=body).status_code == 202
    (command,) = iottly_emulator.commands
    assert (command.device_id, command.body["values"]) == (device, {"echo.content": "hi"})


def test_a_command_that_is_not_declared(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """The service's 400 is the client's, and says why."""
    path = f"/api/devices/{iottly_emulator.device_ids[0]}/commands"
    answer = client.post(path, json={"type": "self_destruct"})
    assert answer.status_code == 400
    assert "self_destruct" in answer.json()["detail"]


def test_the_quota_costs_nothing(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """It is what is known, and no request is made for it."""
    client.get("/api/devices")
    before = len(iottly_emulator.requests)
    assert client.get("/api/quota").json()["in_flight"] == 0
    assert len(iottly_emulator.requests) == before


def test_a_webhook_needs_the_secret(client: TestClient) -> None:
    """With it a message is taken, without it nothing is."""
    body = json.dumps({"msg": {"from": "d", "timestamp": "2026-01-01T00:00:00", "type": "x"}})
    assert client.post("/webhooks/iottly", content=body).status_code == 403
    headers = {"X-Iottly-Secret": SECRET}
    assert client.post("/webhooks/iottly", content=body, headers=headers).status_code == 204


def test_without_a_secret_there_are_no_webhooks(
    iottly_environment: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that was given none lets nobody post."""
    monkeypatch.delenv("IOTTLY_WEBHOOK_SECRET", raising=False)
    with TestClient(create_app()) as client:
        assert client.post("/webhooks/iottly").status_code == 404


def test_the_page_runs_nothing_from_elsewhere(client: TestClient) -> None:
    """It is served with a policy that allows its own files only, and they are there."""
    answer = client.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for file in ("live.js", "live.css", "chart.js"):
        assert client.get(f"/page/{file}").status_code == 200


def test_the_api_describes_itself(client: TestClient) -> None:
    """The models of the library are in the OpenAPI document."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"Device", "History", "Message", "Quota"} <= set(schemas)
