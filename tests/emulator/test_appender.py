"""New messages at a steady rate."""

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


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
async def test_a_rate_that_is_none(api: Api, rate: float) -> None:
    """A rate that is not positive is refused."""
    with pytest.raises(ValueError, match="rate"):
        api.emulator.start_appending(rate)
