"""Protocols of other services: several messages in a frame, no confirmation, no filter."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iottly_async import ConfigurationError, Gap, IottlyError, Message, Stream
from iottly_async.stream import protocol
from iottly_async.stream.options import StreamOptions
from iottly_async.stream.protocol import (
    Frame,
    MessageFrame,
    StreamProtocol,
    Subscribed,
    Subscription,
    UnreadableMessage,
    message_frame,
    message_frames,
)

from .helpers import take
from .scripted_service import Script, Service, Socket, next_text, read_only, sending, session_with

AT = 1772366400000


def row(number: int, device: str = "d", type_: str = "userdefined") -> dict[str, Any]:
    """A row with a number, stamped that many milliseconds after noon."""
    stamp = {"$date": AT + number}
    return {"from": device, "timestamp": stamp, "type": type_, "payload": {"n": number}}


def rows(numbers: Iterable[int]) -> str:
    """A frame with these rows."""
    return framed([row(number) for number in numbers])


def framed(found: list[Any]) -> str:
    """A frame with these rows."""
    return json.dumps({"rows": found})


class Lists(StreamProtocol):
    """Lists of rows; a text "ok" confirms, if it comes."""

    address = "/feed"

    def opening(self, subscription: Subscription, key: str | None) -> Sequence[str | bytes]:
        return ["watch"]

    def read(self, data: str | bytes) -> Sequence[Frame]:
        return [Subscribed(seq=0)] if data == "ok" else message_frames(data, "rows")


@asynccontextmanager
async def streaming(
    *scripts: Script, protocol: StreamProtocol | None = None, **options: Any
) -> AsyncIterator[Stream]:
    """A stream on a service that follows these scripts."""
    async with (
        asyncio.timeout(20),
        session_with(Service(*scripts)) as session,
        session.stream(protocol=protocol or Lists(), **options) as stream,
    ):
        yield stream


@pytest.mark.parametrize("binary", [False, True])
async def test_a_frame_holds_none_one_or_several_messages(binary: bool) -> None:
    """All messages of a frame come, in its order; a frame without any is ignored."""
    frames = [rows([1]), rows([]), '{"other": 1}', rows([2, 3, 4]), rows([5])]
    script = sending(*[frame.encode() if binary else frame for frame in frames])
    async with streaming(script) as stream:
        assert await take(aiter(stream), 5) == [1, 2, 3, 4, 5]


async def test_a_bad_message_does_not_hide_the_others_of_its_frame() -> None:
    """A row without a time is reported as a gap of one message, and the stream goes on."""
    bad = {"from": "d", "timestamp": "Invalid date", "payload": {"n": 2}}
    frame = framed([row(1), bad, row(3), "no row", row(5)])
    async with streaming(sending(frame)) as stream:
        found = await take(aiter(stream), 5)
        assert [each for each in found if not isinstance(each, Gap)] == [1, 3, 5]
        gaps = [each for each in found if isinstance(each, Gap)]
        assert [(gap.reason, gap.missed) for gap in gaps] == [("lost", 1)] * 2
        assert (stream.stats.unreadable, stream.stats.lost) == (2, 2)
        assert stream.stats.connections == 1


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"timestamp": {"$date": AT}}, "$.from"),
        ({"from": "d"}, "$.timestamp"),
        ({"from": "d", "timestamp": "soon"}, "$.timestamp"),
        ("text", "$"),
        (None, "$"),
        (7, "$"),
        (b"{", "$"),
        (10**12, "$"),
        ({"from": "d", "timestamp": object}, "$"),
    ],
    ids=repr,
)
def test_a_row_that_is_no_message_is_told(bad: Any, path: str) -> None:
    """Whatever stands in a row's place, `message_frame` returns a value and raises nothing."""
    assert message_frame(bad, seq=3) == UnreadableMessage(path=path, seq=3)


@pytest.mark.parametrize("payload", ["NaN", "[1e999]", '{"a":1,}', "[" * 5000 + "]" * 5000, "-"])
async def test_a_payload_that_is_no_json_ends_no_connection(payload: str) -> None:
    """Its message comes with the payload's bytes, as over REST, and so do the others."""
    bad = json.dumps(row(2)).replace('{"n": 2}', payload)
    frame = framed([row(1), "here", row(3)]).replace('"here"', bad)
    async with streaming(sending(frame)) as stream:
        messages = stream.messages()
        one, two, three = [await anext(messages) for _ in range(3)]
        assert (one.payload, three.payload) == ({"n": 1}, {"n": 3})
        assert two.payload_json == payload.encode()
        assert stream.stats.connections == 1


def test_a_parsed_row_keeps_what_is_no_json() -> None:
    """NaN is not turned into null, so the message is the one that REST has."""
    found = message_frame({**row(1), "payload": {"n": math.nan}})
    assert isinstance(found, MessageFrame)
    assert found.message.payload_json == b'{"n": NaN}'


async def test_messages_of_other_devices_and_types_are_dropped_here() -> None:
    """A service that has no filter sends everything, and the stream yields what was asked for."""
    frame = framed([row(1, "a"), row(2, "b"), row(3, "c", "iottlyagent"), row(4, "a"), row(5, "c")])
    chosen: dict[str, Any] = {"devices": ["a", "c"], "type": "userdefined"}
    async with streaming(sending(frame), **chosen) as stream:
        assert await take(aiter(stream), 3) == [1, 4, 5]
        assert stream.stats.messages == 3


async def test_a_late_confirmation_is_no_second_subscription() -> None:
    """A service may confirm although the protocol does not rely on it; there is no gap."""
    async with streaming(sending(rows([1]), "ok", rows([2]))) as stream:
        assert await take(aiter(stream), 2) == [1, 2]
        assert stream.stats.gaps == 0


async def test_a_pong_shows_that_the_opening_has_arrived() -> None:
    """`until_connected` returns when the service has read the opening frames, not before."""
    pinged, answer = asyncio.Event(), asyncio.Event()

    async def script(socket: Socket) -> None:
        assert (await socket.receive()).data == "watch"
        ping = await socket.receive()
        pinged.set()
        await answer.wait()
        await socket.pong(ping.data)
        await read_only(socket)

    async with streaming(script) as stream:
        await pinged.wait()
        assert not stream.connected
        answer.set()
        await stream.until_connected()


async def test_a_service_that_answers_nothing_is_subscribed_all_the_same() -> None:
    """Neither a frame nor a pong comes: after a second the stream counts as subscribed."""
    async with streaming(read_only) as stream:
        await stream.until_connected()
        assert stream.stats.connections == 1


async def test_a_protocol_without_commands_says_so() -> None:
    """`run` raises before anything is sent, and names the way over HTTP."""
    async with streaming(sending(rows([1]))) as stream:
        with pytest.raises(ConfigurationError, match=r"session\.commands"):
            await stream.run("dev_1", "uptime")


async def test_a_commands_frame_may_be_binary() -> None:
    """The bytes that the protocol makes are sent as they are."""

    class Binary(Lists):
        def command(self, ref: str, device_id: str, command: str, timeout: float) -> bytes:
            return b"\x01" + command.encode()

    sent: list[Any] = []

    async def script(socket: Socket) -> None:
        assert await next_text(socket) == "watch"
        await socket.send_str(rows([1]))
        while not isinstance(found := (await socket.receive()).data, bytes) or not found:
            pass
        sent.append(found)
        await socket.close(code=1001)

    async with streaming(script, read_only, protocol=Binary()) as stream:
        with pytest.raises(IottlyError):
            await stream.run("dev_1", "uptime")
    assert sent == [b"\x01uptime"]


async def test_the_subscription_says_what_the_stream_is_for() -> None:
    """A protocol is told the project, the devices and the type."""
    asked: list[Subscription] = []

    class Asking(Lists):
        def opening(self, subscription: Subscription, key: str | None) -> Sequence[str | bytes]:
            asked.append(subscription)
            return ["watch"]

    chosen: dict[str, Any] = {"project_id": "p", "devices": ["d"], "type": "userdefined"}
    async with streaming(sending(rows([1])), protocol=Asking(), **chosen) as stream:
        found = await anext(aiter(stream))
    assert asked == [Subscription(project_id="p", devices=("d",), type="userdefined")]
    assert isinstance(found, Message)
    assert found.project_id == "p", "as over REST, where every message has its project"


def test_the_members_of_a_protocol_are_checked() -> None:
    """The error names what an object lacks, and refuses a class in place of an object."""

    class Half:
        address = "/feed"

    half: Any = Half()
    with pytest.raises(ConfigurationError, match="no credential, confirms_subscription, opening"):
        StreamOptions(settle=0, protocol=half)
    kind: Any = Lists
    with pytest.raises(ConfigurationError, match="must be an object"):
        StreamOptions(settle=0, protocol=kind)


async def test_the_example_of_the_documentation_works() -> None:
    """The protocol in the module's docstring runs as it stands, in at most twenty lines."""
    (example,) = re.findall(r"```python\n(.*?)```", protocol.__doc__ or "", re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
    sent: list[Any] = []

    async def script(socket: Socket) -> None:
        sent.append(json.loads(await next_text(socket)))
        await socket.send_str(json.dumps({"messages": [row(1), row(2)]}))
        await read_only(socket)

    service = Service(script)
    async with session_with(service) as session:
        here = session.config.base_url.replace("http", "ws")
        names: dict[str, Any] = {"session": session}
        exec(example.replace("wss://live.example.com", here), names)
        async with asyncio.timeout(10), names["stream"] as stream:
            assert await take(aiter(stream), 2) == [1, 2]
    assert sent == [{"watch": None}]
    (request,) = service.requests
    assert (request.path, request.headers["X-Api-Key"]) == ("/feed", "key")
