"""Webhooks as the platform delivers them, received by a plain HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from iottly_async.emulator import Emulator

from .conftest import Api


class Receiver:
    """A server that keeps what is POSTed to it."""

    url = ""
    status = 200

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[dict[str, str], Any]] = asyncio.Queue()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.received.put_nowait((dict(request.headers), json.loads(await request.read())))
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A running receiver."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    yield receiver
    await runner.cleanup()


async def test_a_message_as_the_vendors_example_expects_it(
    emulator: Emulator, receiver: Receiver
) -> None:
    """A webhook sends `msg` with naive times, and five headers of the user's choice."""
    own = {"X-Secret": "s3cret", **{f"X-Own-{n}": str(n) for n in range(4)}}
    emulator.add_webhook(receiver.url, headers=own)
    device = emulator.device_ids[1]
    message = {"payload": {"t": 1}, "timestamp": "2026-05-02T10:00:00.5", "channel": "c"}
    emulator.append(device, [message])
    headers, body = await receiver.received.get()
    assert body == {
        "msg": {
            "from": device,
            "to": emulator.project_id,
            "timestamp": "2026-05-02T10:00:00.500",
            "devicetimestamp": "2026-05-02T10:00:00.500",
            "type": "userdefined",
            "channel": "c",
            "payload": {"t": 1},
        }
    }
    assert own.items() <= headers.items()
    assert headers["Content-Type"] == "application/json"


async def test_payload_only(emulator: Emulator, receiver: Receiver) -> None:
    """With `payload_only` the bare payload is sent."""
    emulator.add_webhook(receiver.url, payload_only=True)
    emulator.append(emulator.device_ids[0], [{"payload": {"n": 7}}])
    assert (await receiver.received.get())[1] == {"n": 7}


async def test_filters(emulator: Emulator, receiver: Receiver) -> None:
    """Only messages of the webhook's type and channel are sent."""
    emulator.add_webhook(receiver.url, type="iottlyagent", channel="c", payload_only=True)
    emulator.append(
        emulator.device_ids[0],
        [
            {"payload": 1, "type": "userdefined", "channel": "c"},
            {"payload": 2, "type": "iottlyagent", "channel": "d"},
            {"payload": 3, "type": "iottlyagent", "channel": "c"},
        ],
    )
    assert (await receiver.received.get())[1] == 3
    assert len(emulator.deliveries) <= 1


async def test_order_and_outcome(emulator: Emulator, receiver: Receiver) -> None:
    """Messages are delivered once each, in the order they were appended, whatever the answer."""
    receiver.status = 500
    emulator.add_webhook(receiver.url, payload_only=True)
    rows = emulator.append(emulator.device_ids[0], [{"payload": n} for n in range(20)])
    await emulator.until_deliveries(20)
    assert [(await receiver.received.get())[1] for _ in range(20)] == list(range(20))
    assert [(d.row, d.status, d.error) for d in emulator.deliveries] == [
        (row, 500, None) for row in rows
    ]


async def test_a_receiver_that_is_away(emulator: Emulator) -> None:
    """A delivery without a receiver is recorded, and the next one is tried."""
    emulator.add_webhook("http://127.0.0.1:9/hook")
    emulator.append(emulator.device_ids[0], 2)
    await emulator.until_deliveries(2)
    assert [(d.status, d.error) for d in emulator.deliveries] == [
        (None, "ClientConnectorError")
    ] * 2


async def test_a_late_message_is_sent_when_it_is_visible(
    emulator: Emulator, receiver: Receiver
) -> None:
    """A webhook does not send a message that the API does not show yet (D11)."""
    emulator.clock.pin()
    emulator.add_webhook(receiver.url, payload_only=True)
    emulator.append(emulator.device_ids[0], [{"payload": "late"}], late_by=2)
    emulator.append(emulator.device_ids[0], [{"payload": "prompt"}])
    assert (await receiver.received.get())[1] == "prompt"
    emulator.clock.advance(2)
    assert (await receiver.received.get())[1] == "late"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://example.com/"},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http://[::1]evil/"},
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://user@127.0.0.1/"},
        {"url": "http://127.0.0.1/a b"},
        {"type": "other"},
        {"headers": {f"X-{n}": "" for n in range(6)}},
        {"headers": {"X-A\r\nX-B": ""}},
        {"headers": {"X-A": "a\r\nb"}},
        {"headers": {"Content-Length": "5"}},
    ],
)
async def test_what_is_refused(emulator: Emulator, wrong: dict[str, Any]) -> None:
    """Other addresses than loopback, unknown types, and too many or unsafe headers are refused."""
    given = {"url": "http://127.0.0.1:9/", **wrong}
    with pytest.raises(ValueError):
        emulator.add_webhook(given.pop("url"), **given)


async def test_five_a_project(api: Api) -> None:
    """A sixth webhook is refused, at the control address too, and a reset removes all."""
    for _ in range(4):
        api.emulator.add_webhook("http://127.0.0.1:9/")
    body = {"url": "http://127.0.0.1:9/", "headers": {"X-Secret": "s3cret"}}
    added = await api.ask("POST", "/_emulator/webhooks", json=body, headers={})
    assert added.json["headers"] == ["X-Secret"]
    refused = await api.ask("POST", "/_emulator/webhooks", json=body, headers={})
    assert (refused.status, "at most 5" in refused.json["error"]) == (400, True)
    api.emulator.reset()
    assert api.emulator.webhooks == []
