"""The example backend: its API, tested as a user would test it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from examples.fastapi_backend.main import create_app
from iottly_async import Cursor
from iottly_async.emulator import EmulatorThread

SECRET = "a-shared-secret"
CURSOR_SECRET = "a-secret-for-cursors"


@pytest.fixture
def client(
    iottly_environment: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """A client of the backend; settings and session come from the environment."""
    monkeypatch.setenv("IOTTLY_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("IOTTLY_CURSOR_SECRET", CURSOR_SECRET)
    with TestClient(create_app()) as client:
        yield client


def test_devices_can_be_listed_and_got(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """All devices are listed, and one is got by its id; licence tokens are left out."""
    found = client.get("/api/devices").json()
    assert [device["id"] for device in found] == iottly_emulator.device_ids
    assert client.get(f"/api/devices/{found[1]['id']}").json() == found[1]
    assert not any("token" in device for device in found), "a browser needs no licence token"


def test_an_unknown_device_is_not_found(client: TestClient) -> None:
    """The response has problem details and the service's status."""
    answer = client.get("/api/devices/no-such-device")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_recent_messages_can_be_limited(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """The newest messages come, as many as requested."""
    device = iottly_emulator.device_ids[0]
    iottly_emulator.append(device, [{"payload": {"n": 1}}, {"payload": {"n": 2}}])
    found = client.get(f"/api/devices/{device}/recent", params={"limit": 2}).json()
    assert sorted(message["payload"]["n"] for message in found) == [1, 2]


@pytest.mark.parametrize("at_least", [1, 100, 1000])
def test_a_history_can_be_read_to_its_end(
    client: TestClient, iottly_emulator: EmulatorThread, at_least: int
) -> None:
    """Following the `Link` headers gives every message once and in order of time."""
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


def test_an_invalid_cursor_is_refused(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """The response is 422, also for a cursor that is one, but that the backend has not signed."""
    path = f"/api/devices/{iottly_emulator.device_ids[0]}/messages"
    token = client.get(path, params={"at_least": 1}).json()["cursor"]
    assert client.get(path, params={"cursor": token}).status_code == 200
    unsigned = Cursor.from_token(token, CURSOR_SECRET).to_json()
    for text in ("made up", unsigned, token[:-1]):
        answer = client.get(path, params={"cursor": text})
        assert (answer.status_code, "token" in answer.json()["detail"]) == (422, True)


def test_a_command_reaches_its_device(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """It arrives once, with its parameters."""
    device = iottly_emulator.device_ids[0]
    body = {"type": "echo", "values": {"content": "hi"}}
    assert client.post(f"/api/devices/{device}/commands", json=body).status_code == 202
    (command,) = iottly_emulator.commands
    assert (command.device_id, command.body["values"]) == (device, {"echo.content": "hi"})


def test_an_undeclared_command_is_refused(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """The response is the service's 400, with its reason."""
    path = f"/api/devices/{iottly_emulator.device_ids[0]}/commands"
    answer = client.post(path, json={"type": "self_destruct"})
    assert answer.status_code == 400
    assert "self_destruct" in answer.json()["detail"]


def test_the_quota_costs_no_request(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """It is what the session knows."""
    client.get("/api/devices")
    # The backend itself opens a stream and lists the devices, at any moment after its start.
    iottly_emulator.until_requests(1, route="stream", timeout=30)
    iottly_emulator.until_requests(2, route="devices", timeout=30)
    before = len(iottly_emulator.requests)
    assert client.get("/api/quota").json()["in_flight"] == 0
    assert len(iottly_emulator.requests) == before


def test_a_webhook_needs_the_secret(client: TestClient) -> None:
    """A post with the secret is accepted, and one without is refused."""
    body = json.dumps({"msg": {"from": "d", "timestamp": "2026-01-01T00:00:00", "type": "x"}})
    assert client.post("/webhooks/iottly", content=body).status_code == 403
    headers = {"X-Iottly-Secret": SECRET}
    assert client.post("/webhooks/iottly", content=body, headers=headers).status_code == 204


def test_without_a_secret_there_are_no_webhooks(
    iottly_environment: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend without a secret has no webhook route."""
    monkeypatch.delenv("IOTTLY_WEBHOOK_SECRET", raising=False)
    with TestClient(create_app()) as client:
        assert client.post("/webhooks/iottly").status_code == 404


def test_the_page_loads_only_its_own_files(client: TestClient) -> None:
    """Its Content-Security-Policy allows nothing else, and the files exist."""
    answer = client.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for file in ("live.js", "live.css", "chart.js"):
        assert client.get(f"/page/{file}").status_code == 200


def test_the_models_are_in_the_openapi_document(client: TestClient) -> None:
    """The library's models and the example's own are described."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"Device", "History", "Message", "Quota"} <= set(schemas)
