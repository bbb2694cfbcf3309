"""New messages at a steady rate."""

from typing import Any

import pytest

from .conftest import Api


async def test_a_steady_flow(api: Api) -> None:
    """At a rate, the devices send in turn until appending is stopped."""
    before = {d: len(api.emulator.stored(d)) for d in api.emulator.device_ids}
    api.emulator.start_appending(1000)
    while any(len(api.emulator.stored(d)) == before[d] for d in before):
        await api.get("/v1.0/project/ping")
    api.emulator.stop_appending()
    after = {d: len(api.emulator.stored(d)) for d in before}
    grown = [after[d] - before[d] for d in before]
    assert max(grown) - min(grown) <= 1
    await api.get("/v1.0/project/ping")
    assert {d: len(api.emulator.stored(d)) for d in before} == after


async def test_a_disconnected_device_is_passed_over(api: Api) -> None:
    """Devices that are disconnected send nothing; the others send at the same rate together."""
    away, *rest = api.emulator.device_ids
    api.emulator.set_connected(away, False)
    before = {d: len(api.emulator.stored(d)) for d in api.emulator.device_ids}
    api.emulator.start_appending(1000)
    while any(len(api.emulator.stored(d)) < before[d] + 5 for d in rest):
        await api.get("/v1.0/project/ping")
    assert len(api.emulator.stored(away)) == before[away]
    for device in rest:
        api.emulator.set_connected(device, False)
    before = {d: len(api.emulator.stored(d)) for d in api.emulator.device_ids}
    api.emulator.set_connected(away, True)
    while len(api.emulator.stored(away)) == before[away]:
        await api.get("/v1.0/project/ping")
    assert {d: len(api.emulator.stored(d)) for d in rest} == {d: before[d] for d in rest}


async def test_what_a_disconnected_device_sends(api: Api) -> None:
    """A disconnected device sends no new message; what it sent at a stated time can be added."""
    device = api.emulator.device_ids[0]
    api.emulator.set_connected(device, False)
    before = len(api.emulator.stored(device))
    refused: list[Any] = [1, [{}], [{"timestamp": "2026-03-01T12:00:00Z"}, {"payload": 1}]]
    for messages in refused:
        with pytest.raises(ValueError, match="disconnected"):
            api.emulator.append(device, messages)
    assert len(api.emulator.stored(device)) == before
    api.emulator.append(device, [{"timestamp": "2026-03-01T12:00:00Z"}])
    api.emulator.set_connected(device, True)
    api.emulator.append(device)
    assert len(api.emulator.stored(device)) == before + 2


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
async def test_a_rate_that_is_none(api: Api, rate: float) -> None:
    """A rate that is not positive is refused."""
    with pytest.raises(ValueError, match="rate"):
        api.emulator.start_appending(rate)
