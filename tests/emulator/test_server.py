"""Starting and closing an emulator."""

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9"])
async def test_it_binds_loopback(http: aiohttp.ClientSession, host: str) -> None:
    """The emulator binds the loopback address in its settings, on a free port."""
    async with Emulator(devices=1, messages=1, host=host) as emulator:
        assert emulator.base_url.startswith("http://127.0.0.")
        assert (await Api(emulator, http).page()).status == 200


async def test_a_port_that_is_taken(api: Api) -> None:
    """A port that is in use is an `OSError`, and the emulator has not been started."""
    port = int(api.emulator.base_url.rsplit(":", 1)[1])
    second = Emulator(devices=1, messages=1, port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    with pytest.raises(RuntimeError, match="not been started"):
        second.base_url  # noqa: B018 - reading it is the point


async def test_starting_twice(emulator: Emulator) -> None:
    """A running emulator cannot be started again."""
    with pytest.raises(RuntimeError, match="already running"):
        await emulator.start()


async def test_the_records_outlive_it(http: aiohttp.ClientSession) -> None:
    """After closing, the records can still be read."""
    async with Emulator(devices=1, messages=1) as emulator:
        await Api(emulator, http).page()
    assert [record.status for record in emulator.requests] == [200]
