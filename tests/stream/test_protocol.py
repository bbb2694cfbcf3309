"""The default protocol of the stream: what it sends and what it reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import (
    DecodeError,
    DefaultStreamProtocol,
    DeviceOfflineError,
    ForbiddenError,
    Message,
    UnauthorizedError,
)
from iottly_async.stream.protocol import (
    CommandAccepted,
    CommandRefused,
    Heartbeat,
    MessageFrame,
    Subscription,
    UnreadableMessage,
    message_frames,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_sent_frames_are_as_documented() -> None:
    """Hello, subscription and command have the documented JSON."""
    protocol = DefaultStreamProtocol()
    assert protocol.opening(Subscription(devices=("a",)), None) == (
        '{"type":"hello","version":1}',
        '{"type":"subscribe","devices":["a"],"messages":"all"}',
    )
    assert protocol.command("c1", "dev_1", "uptime", 10.0) == (
        '{"type":"command","ref":"c1","device":"dev_1","command":"uptime","timeout_s":10}'
    )


def test_received_frames_become_values() -> None:
    """Each frame becomes a value; a frame of an unknown type is ignored."""
    protocol = DefaultStreamProtocol()
    (found,) = protocol.read(
        '{"type":"message","seq":3,"message":{"from":"d","timestamp":"2026-03-01T12:00:01",'
        '"payload":{"a":1}}}'
    )
    assert isinstance(found, MessageFrame)
    assert (found.seq, found.message.timestamp) == (3, NOON + timedelta(seconds=1))
    assert found.message.payload_json == b'{"a":1}'
    (beat,) = protocol.read(b'{"type":"heartbeat","seq":3,"at":"2026-03-01T12:00:00.000Z"}')
    assert beat == Heartbeat(seq=3, at=NOON)
    (accepted,) = protocol.read('{"type":"accepted","ref":"c1","command_id":"cmd_1","status":"p"}')
    assert accepted == CommandAccepted(ref="c1", command_id="cmd_1")
    assert protocol.read('{"type":"news"}') == ()
    (refused,) = protocol.read(
        '{"type":"error","ref":"c1","status":409,"error":{"code":"device_offline","message":"m",'
        '"request_id":"req_1"}}'
    )
    assert isinstance(refused, CommandRefused)
    assert isinstance(refused.error, DeviceOfflineError)
    assert refused.error.request_id == "req_1"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"type":1}', '{"type":"message","seq":1}', "[" * 5000, '{"type":"x"}x'],
)
def test_an_invalid_frame_is_a_decode_error(text: str) -> None:
    """Whatever is wrong with a frame, the error is a `DecodeError`."""
    with pytest.raises(DecodeError):
        DefaultStreamProtocol().read(text)


def test_two_close_codes_end_the_stream() -> None:
    """4401 and 4403 do, and no other code."""
    protocol = DefaultStreamProtocol()
    assert isinstance(protocol.final(4401), UnauthorizedError)
    assert isinstance(protocol.final(4403), ForbiddenError)
    assert [protocol.final(code) for code in (1000, 1006, 1008, 1009, 1012, 4400)] == [None] * 6


@pytest.mark.parametrize(
    "payload",
    ['{"v": NaN}', '{"v": 1e999}', '"\\ud800"', "[" * 10_000 + "]" * 10_000, '{"v": 01}'],
    ids=["NaN", "infinite", "half a surrogate pair", "deep", "leading zero"],
)
def test_a_payload_that_cannot_be_read_does_not_lose_its_message(payload: str) -> None:
    """The message of the frame is yielded, and its payload is kept as the bytes that came (D8)."""
    head = '{"type":"message","message":{"from":"d","timestamp":"2026-03-01T12:00:00","payload":'
    frame = head + payload + '},"seq":7}'
    for data in (frame, frame.encode()):
        (found,) = DefaultStreamProtocol().read(data)
        assert isinstance(found, MessageFrame)
        assert found.seq == 7
        assert (found.message.device_id, found.message.timestamp) == ("d", NOON)
        assert found.message.payload_json == payload.encode()


@pytest.mark.parametrize(
    ("odd", "extra"),
    [
        ({"devicetimestamp": "Invalid date"}, {"devicetimestamp": "Invalid date"}),
        (
            {"devicetimestamp": {"$date": "12026-01-01"}},
            {"devicetimestamp": {"$date": "12026-01-01"}},
        ),
        ({"type": True, "channel": {"a": 1}}, {"type": True, "channel": {"a": 1}}),
    ],
    ids=["text", "date", "type"],
)
def test_an_odd_field_does_not_lose_its_message(odd: dict[str, Any], extra: dict[str, Any]) -> None:
    """An optional field that cannot be read is None, and `extra` has its value (D8)."""
    row = {"from": "d", "timestamp": "2026-03-01T12:00:00", "payload": {}, **odd}
    (found,) = DefaultStreamProtocol().read(json.dumps({"type": "message", "message": row}))
    assert isinstance(found, MessageFrame)
    assert found.message == Message(device_id="d", timestamp=NOON, payload_json=b"{}", extra=extra)


@pytest.mark.parametrize("payload", ["NaN", "[1e999]", "[" * 5000 + "]" * 5000, "{'a': 1}"])
def test_a_payload_that_is_no_json_is_kept_as_bytes(payload: str) -> None:
    """A device that sends NaN ends no connection; over REST its message is the same."""
    row = f'{{"from":"d","timestamp":"2026-03-01T12:00:01","payload":{payload}}}'
    (found,) = DefaultStreamProtocol().read(f'{{"type":"message","seq":3,"message":{row}}}')
    assert isinstance(found, MessageFrame)
    assert (found.seq, found.message.payload_json) == (3, payload.encode())


@pytest.mark.parametrize("row", ["7", "null", "[]", "{}", '{"from":"d"}', '{"from":"d","t":NaN}'])
def test_a_row_that_is_no_message_is_told(row: str) -> None:
    """It has its number, so that the stream can report it as missing, and goes on."""
    (found,) = DefaultStreamProtocol().read(f'{{"type":"message","seq":3,"message":{row}}}')
    assert isinstance(found, UnreadableMessage)
    assert found.seq == 3


@pytest.mark.parametrize("at", ["soon", 7.5, [], {"$date": "n/a"}])
def test_a_time_that_cannot_be_read_is_none(at: object) -> None:
    """A heartbeat without a readable time is still a sign of life (D8)."""
    frame = json.dumps({"type": "heartbeat", "seq": 1, "at": at})
    assert DefaultStreamProtocol().read(frame) == (Heartbeat(seq=1),)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)), st.integers(0, 60))
def test_any_frame_is_read_or_a_decode_error(noise: str | bytes, at: int) -> None:
    """Whatever a service sends, no other error comes out of the protocol."""
    row = '{"from":"d","timestamp":"2026-03-01T12:00:01","payload":{"a":1}}'
    whole = f'{{"type":"message","seq":1,"message":{row},"rows":[{row},{row}]}}'
    text = noise if isinstance(noise, str) else noise.decode("latin-1")
    for data in (noise, whole[:at] + text + whole[at:], (whole[:at] + text).encode("utf-8")):
        for read in (DefaultStreamProtocol().read, lambda each: message_frames(each, "rows")):
            try:
                assert isinstance(read(data), list | tuple)
            except DecodeError:
                continue
