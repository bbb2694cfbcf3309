"""Messages that are appended and expire while the emulator runs, and the reset."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_the_server_dates_a_message(empty: Api) -> None:
    """A message without a timestamp gets the server's time, and ids count insertions."""
    emulator, device = empty.emulator, empty.emulator.device_ids[0]
    emulator.clock.pin(NOON)
    assert emulator.append(device) == [1]
    emulator.clock.advance(0.25)
    assert emulator.append(device, 2) == [2, 3]
    offsets = [message["timestamp"] - NOON for message in emulator.stored(device)]
    assert offsets == [timedelta(0)] + [timedelta(milliseconds=250)] * 2


async def test_what_can_be_given(empty: Api) -> None:
    """Every field of an appended message is stored as given."""
    emulator, device = empty.emulator, empty.emulator.fleet_ids[0]
    given = {
        "timestamp": NOON,
        "devicetimestamp": "2026-03-01T11:59:59.5",
        "type": "iottlyagent",
        "channel": "c",
        "payload": {"à": [1, None]},
    }
    emulator.append(device, [given])
    (message,) = emulator.stored(device)
    assert message == {
        "id": 1,
        "oid": message["oid"],
        "device_id": emulator.device_ids[0],
        "project_id": emulator.project_id,
        "timestamp": NOON,
        "timestamp_ms": 1772366400000,
        "devicetimestamp": NOON - timedelta(milliseconds=500),
        "devicetimestamp_ms": 1772366399500,
        "type": "iottlyagent",
        "channel": "c",
        "payload": {"à": [1, None]},
        "payload_json": '{"à":[1,null]}',
        "visible_at_ms": 0,
        "raw": None,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": 5},
        {"timestamp": datetime(2026, 1, 1)},  # noqa: DTZ001 - the naive time is the point
        {"timestamp": "soon"},
        {"payload": float("nan")},
    ],
)
async def test_what_is_refused(empty: Api, wrong: dict[str, Any]) -> None:
    """If one message is not valid, nothing is stored."""
    device = empty.emulator.device_ids[0]
    with pytest.raises(ValueError):
        empty.emulator.append(device, [{}, wrong])
    assert empty.emulator.stored(device) == []


async def test_an_unknown_device(empty: Api) -> None:
    """Appending to a device that does not exist is a `KeyError`."""
    with pytest.raises(KeyError, match="no-such-device"):
        empty.emulator.append("no-such-device")


async def test_a_late_message(empty: Api) -> None:
    """A late message is stored at once and visible only some time after its timestamp (D11)."""
    emulator, device = empty.emulator, empty.emulator.device_ids[0]
    emulator.clock.pin(NOON)
    emulator.append(device, late_by=2)
    assert len(emulator.stored(device)) == 1
    emulator.clock.advance(1.999)
    assert (await empty.page()).status == 404
    assert (await empty.get(empty.history)).json["messages"] == []
    emulator.clock.advance(0.001)
    assert await empty.times() == ["2026-03-01T12:00:00"]
    assert len((await empty.get(empty.history)).json["messages"]) == 1


async def test_late_by_default() -> None:
    """The setting `late_by` makes every appended message late."""
    async with Emulator(devices=1, messages=1, late_by=1.5) as emulator:
        emulator.clock.pin(NOON + timedelta(days=365))
        emulator.append(emulator.device_ids[0])
        seeded, appended = emulator.stored(emulator.device_ids[0])
        assert seeded["visible_at_ms"] == 0
        assert appended["visible_at_ms"] - appended["timestamp_ms"] == 1500


async def test_lateness_that_varies(empty: Api) -> None:
    """With a range, each message is late by its own time within it."""
    emulator, device = empty.emulator, empty.emulator.device_ids[0]
    emulator.clock.pin(NOON)
    emulator.append(device, 200, late_by=(0.5, 1.5))
    late = [row["visible_at_ms"] - row["timestamp_ms"] for row in emulator.stored(device)]
    assert min(late) >= 500
    assert max(late) <= 1500
    assert 900 < sum(late) / len(late) < 1100


@pytest.mark.parametrize("seconds", [-8, 8, 3600])
async def test_the_clock_that_stamps(seconds: float, http: aiohttp.ClientSession) -> None:
    """Timestamps may come from another clock than `Date`; messages are visible at once (D11)."""
    async with Emulator(devices=1, messages=0, stamp_offset=seconds) as emulator:
        emulator.clock.pin(NOON)
        emulator.append(emulator.device_ids[0])
        answer = await Api(emulator, http).page()
        assert answer.headers["Date"] == "Sun, 01 Mar 2026 12:00:00 GMT"
        (message,) = emulator.stored(emulator.device_ids[0])
        assert message["timestamp"] == NOON + timedelta(seconds=seconds)
        assert len(answer.json["messages"]) == 1
        emulator.clock.stamp_offset = timedelta(0)
        emulator.append(emulator.device_ids[0])
        assert NOON in [row["timestamp"] for row in emulator.stored(emulator.device_ids[0])]


async def test_retention(api: Api) -> None:
    """Messages expire, of one device or of all."""
    first, second = api.emulator.device_ids[:2]
    middle = api.emulator.stored(first)[20]["timestamp"]
    others = api.emulator.stored(second)
    assert api.emulator.expire(middle, first) == 20
    assert api.emulator.stored(first)[0]["timestamp"] == middle
    assert api.emulator.stored(second) == others
    assert api.emulator.expire(datetime(2030, 1, 1, tzinfo=UTC)) > 0
    assert (await api.page()).status == 404


@pytest.mark.parametrize("expired", [False, True])
async def test_reset(api: Api, expired: bool) -> None:
    """A reset restores the start, whatever has changed."""
    emulator, device = api.emulator, api.emulator.device_ids[0]
    stored, props = emulator.stored(device), (await api.get(f"{api.device}/props")).json
    emulator.append(device, 5)
    if expired:
        emulator.expire(stored[50]["timestamp"])
    await api.ask("PUT", f"{api.device}/props", json={"name": "other"})
    await api.ask(
        "POST", f"{api.device}/command", json={"cmd_type": "echo", "values": {"echo.a": 1}}
    )
    emulator.fault("status", count=None)
    emulator.clock.offset = 500
    emulator.clock.pin()
    emulator.reset()
    assert emulator.stored(device) == stored
    assert (await api.get(f"{api.device}/props")).json == props
    assert (emulator.commands, len(emulator.requests)) == ([], 1)
    assert (emulator.clock.offset, emulator.clock.pinned) == (0, False)
    assert emulator.append(device) == [301]
