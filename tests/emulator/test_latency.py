"""Latency, by the loop's own clock."""

import asyncio

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api


@pytest.mark.parametrize("latency", [0.05, (0.05, 0.06)])
async def test_a_request_takes_its_time(
    http: aiohttp.ClientSession, latency: float | tuple[float, float]
) -> None:
    """No answer comes before the latency is over, and waiting requests do not queue."""
    async with Emulator(devices=1, messages=1, latency=latency) as emulator:
        api = Api(emulator, http)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(api.page() for _ in range(5)))
        assert loop.time() - begun >= 0.05
        await emulator.until_requests(5)
