"""The WebSocket, frame by frame, with a plain client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import HEADERS, Api


class Client:
    """One stream whose frames the test sends and receives itself."""

    def __init__(self, ws: "aiohttp.ClientWebSocketResponse[Any]") -> None:
        self.ws = ws

    async def send(self, **frame: Any) -> None:
        await self.ws.send_json(frame)

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self.ws.receive_json(timeout=5)
        return frame

    async def subscribe(self, **wanted: Any) -> dict[str, Any]:
        await self.send(type="subscribe", **wanted)
        return await self.receive()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[Client]:
    """An open stream on which the client has sent nothing yet."""
    async with open_stream(api) as ws:
        yield Client(ws)


def open_stream(api: Api, **options: Any) -> Any:
    name, scheme = HEADERS["v1"]
    headers = {name: f"{scheme} {api.emulator.api_key}"}
    url = api.emulator.base_url + "/v1/stream"
    return api.http.ws_connect(url, headers=headers, autoping=False, **options)


async def test_hello_and_subscribe(emulator: Emulator, client: Client) -> None:
    """Hello is answered with the heartbeat, a subscription with the server's time."""
    emulator.clock.pin(1_777_777_777_123)
    await client.send(type="hello", version=1)
    at = "2026-05-03T03:09:37.123Z"
    assert await client.receive() == {"type": "welcome", "version": 1, "heartbeat": 10.0, "at": at}
    assert await client.subscribe() == {"type": "subscribed", "seq": 0, "at": at}
    assert emulator.streams == 1


async def test_messages_are_numbered(emulator: Emulator, client: Client) -> None:
    """A subscriber gets every message in the paginated endpoint's form, numbered from 1."""
    await client.subscribe()
    device = emulator.device_ids[0]
    emulator.append(device, [{"payload": {"n": n}, "timestamp": 1_777_777_777_000} for n in (1, 2)])
    assert await client.receive() == {
        "type": "message",
        "seq": 1,
        "message": {
            "from": device,
            "to": emulator.project_id,
            "timestamp": "2026-05-03T03:09:37",
            "devicetimestamp": "2026-05-03T03:09:37",
            "type": "userdefined",
            "payload": {"n": 1},
        },
    }
    assert (await client.receive())["seq"] == 2


async def test_a_subscription_chooses(emulator: Emulator, client: Client) -> None:
    """Messages of other devices and types are not sent."""
    await client.subscribe(devices=[emulator.device_ids[1]], messages="iottlyagent")
    emulator.append(emulator.device_ids[0], [{"type": "iottlyagent", "payload": 1}])
    emulator.append(emulator.device_ids[1], [{"type": "userdefined", "payload": 2}])
    emulator.append(emulator.device_ids[1], [{"type": "iottlyagent", "payload": 3}])
    received = await client.receive()
    assert (received["seq"], received["message"]["payload"]) == (1, 3)


async def test_heartbeats(api: Api) -> None:
    """If there is nothing to send, a heartbeat with the last number is sent."""
    api.emulator.set_stream_heartbeat(0.02)
    async with open_stream(api) as ws:
        client = Client(ws)
        await client.subscribe()
        api.emulator.append(api.emulator.device_ids[0])
        assert (await client.receive())["type"] == "message"
        beat = await client.receive()
        assert (beat["type"], beat["seq"]) == ("heartbeat", 1)


async def test_commands_and_their_results(emulator: Emulator, client: Client) -> None:
    """A command is accepted under its reference, and its result follows."""
    command = {"command": "echo hi", "timeout_s": 5}
    await client.send(type="command", ref="a", device=emulator.fleet_ids[0], **command)
    accepted = await client.receive()
    assert (accepted["type"], accepted["ref"], accepted["status"]) == ("accepted", "a", "pending")
    result = await client.receive()
    assert (result["type"], result["ref"], result["stdout"]) == ("result", "a", "hi\n")
    assert result["command_id"] == accepted["command_id"]
    assert [record.body for record in emulator.commands] == [command]


@pytest.mark.parametrize(("device", "code"), [("none", "device_not_found"), (0, "device_offline")])
async def test_a_command_that_is_refused(
    emulator: Emulator, client: Client, device: Any, code: str
) -> None:
    """An error has the command's reference and the form of the HTTP answer."""
    emulator.set_connected(emulator.fleet_ids[0], False)
    named = device if device == "none" else emulator.fleet_ids[device]
    await client.send(type="command", ref=7, device=named, command="uptime")
    refused = await client.receive()
    assert (refused["type"], refused["ref"], refused["error"]["code"]) == ("error", 7, code)
    assert emulator.commands == []


@pytest.mark.parametrize("text", ["{", "[]", '{"type":"nonsense"}', '{"type":"hello","version":2}'])
async def test_a_bad_frame_ends_the_stream(client: Client, text: str) -> None:
    """After a frame that is not allowed, the stream is closed with code 4400."""
    await client.ws.send_str(text)
    message = await client.ws.receive(timeout=5)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4400)


async def test_drops(emulator: Emulator, api: Api) -> None:
    """Streams are closed with a code, or reset."""
    for code, kind in ((1012, aiohttp.WSMsgType.CLOSE), (None, aiohttp.WSMsgType.CLOSED)):
        async with open_stream(api) as ws:
            await Client(ws).subscribe()
            assert emulator.drop_streams(code) == 1
            message = await ws.receive(timeout=5)
            assert message.type is kind
            assert emulator.streams == 0


async def test_a_stall(emulator: Emulator, client: Client) -> None:
    """A half-open stream sends nothing and answers no ping until it is released."""
    await client.subscribe()
    emulator.stall_streams()
    emulator.append(emulator.device_ids[0])
    await client.ws.ping(b"x")
    with pytest.raises(TimeoutError):
        await client.ws.receive(timeout=0.05)
    emulator.release()
    kinds = {(await client.ws.receive(timeout=5)).type for _ in range(2)}
    assert kinds == {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG}


async def test_losses_and_reordering(emulator: Emulator, client: Client) -> None:
    """Frames that are lost or reversed keep their numbers."""
    await client.subscribe()
    emulator.lose_frames(2)
    emulator.append(emulator.device_ids[0], 3)
    assert (await client.receive())["seq"] == 3
    emulator.reverse_frames(3)
    emulator.append(emulator.device_ids[0], 4)
    assert [(await client.receive())["seq"] for _ in range(4)] == [6, 5, 4, 7]


async def test_without_an_upgrade_or_a_key(api: Api) -> None:
    """A plain request is 426, and a wrong key is 401 before the stream opens."""
    plain = await api.get("/v1/stream")
    assert (plain.status, plain.json["error"]["code"]) == (426, "error")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await api.http.ws_connect(api.emulator.base_url + "/v1/stream")
    assert refused.value.status == 401


async def test_over_the_control_address(api: Api, client: Client) -> None:
    """The control address can disturb streams."""
    await client.subscribe()
    answer = await api.ask("POST", "/_emulator/streams", json={"lose": 1}, headers={})
    assert answer.json == {"streams": 1}
    api.emulator.append(api.emulator.device_ids[0], 2)
    assert (await client.receive())["seq"] == 2
    await api.ask("POST", "/_emulator/streams", json={"drop": None}, headers={})
    assert (await client.ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSED


async def test_closing_the_emulator_ends_its_streams() -> None:
    """Closing the emulator closes its streams and leaves no task behind."""
    async with aiohttp.ClientSession() as http:
        async with Emulator(devices=1, messages=0) as emulator:
            ws = await open_stream(Api(emulator, http))
            await Client(ws).subscribe()
        assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSED
        await ws.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
