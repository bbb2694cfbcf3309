"""What the emulator does not do: listen to the state, believe a foreign Host, read without end."""

from collections.abc import AsyncIterator

import aiohttp
import attrs
import pytest

from iottly_async.emulator import Emulator, EmulatorOptions, EmulatorSettings

from .conftest import Api


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.x"])
def test_only_loopback(host: str) -> None:
    """Any address but a loopback one is refused, and the error says what is accepted."""
    with pytest.raises(ValueError, match=r"loopback addresses only \(127\.0\.0\.1"):
        Emulator(host=host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9"])
async def test_it_binds_loopback(http: aiohttp.ClientSession, host: str) -> None:
    """It binds the loopback address that it is given, on a free port."""
    async with Emulator(devices=1, messages=1, host=host) as emulator:
        assert emulator.base_url.startswith("http://127.0.0.")
        assert (await Api(emulator, http).page()).status == 200


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", "localhost:1", ""])
@pytest.mark.parametrize("path", ["/v1.0/project/ping", "/_emulator/state"])
async def test_a_foreign_host(api: Api, host: str, path: str) -> None:
    """A request under another name or port, as DNS rebinding makes one, is turned away."""
    headers = {"Authentication": f"bearer {api.emulator.api_key}", "Host": host}
    assert (await api.get(path, headers=headers)).status == 421


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
async def test_its_own_names(api: Api, name: str) -> None:
    """Its own names with its port are good."""
    port = api.emulator.base_url.rsplit(":", 1)[1]
    headers = {"Authentication": f"bearer {api.emulator.api_key}", "Host": f"{name}:{port}"}
    assert (await api.get("/v1.0/project/ping", headers=headers)).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body(http: aiohttp.ClientSession, chunked: bool) -> None:
    """A body beyond the bound is 413, whether it says its length or not."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100

    async with Emulator(devices=1, messages=0, max_body=2000) as emulator:
        api = Api(emulator, http)
        headers = {
            "Authentication": f"bearer {emulator.api_key}",
            "Content-Type": "application/json",
        }
        body = pieces() if chunked else b" " * 4000
        answer = await api.ask("PUT", f"{api.device}/props", data=body, headers=headers)
        assert answer.status == 413


async def test_a_port_that_is_taken(api: Api) -> None:
    """A port that is in use is an `OSError`, and the next attempt is not hindered."""
    port = int(api.emulator.base_url.rsplit(":", 1)[1])
    second = Emulator(devices=1, messages=1, port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    with pytest.raises(RuntimeError, match="not been started"):
        second.base_url  # noqa: B018 - reading it is the point


async def test_starting_twice(emulator: Emulator) -> None:
    """An emulator that runs is not started again."""
    with pytest.raises(RuntimeError, match="already running"):
        await emulator.start()


async def test_the_records_outlive_it(http: aiohttp.ClientSession) -> None:
    """After closing, what happened can still be read."""
    async with Emulator(devices=1, messages=1) as emulator:
        await Api(emulator, http).page()
    assert [record.status for record in emulator.requests] == [200]


async def test_old_requests_are_forgotten(http: aiohttp.ClientSession) -> None:
    """The record of requests is bounded, its count is not."""
    async with Emulator(devices=1, messages=1, record_limit=3) as emulator:
        api = Api(emulator, http)
        for _ in range(5):
            await api.get("/v1.0/project/ping")
        assert [record.number for record in emulator.requests] == [3, 4, 5]
        await emulator.until_requests(5)


def test_options_are_the_settings() -> None:
    """The keyword arguments are the fields of the settings, with the same types."""
    fields = {field.name: field.type for field in attrs.fields(EmulatorSettings)}
    assert EmulatorOptions.__annotations__ == fields


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": -1},
        {"messages": 5, "devices": 0},
        {"days": 0},
        {"first_page": 2},
        {"rate_algorithm": "leaky"},
        {"latency": -1},
        {"latency": (2, 1)},
        {"api_keys": ()},
        {"api_keys": "key"},
        {"port": 70_000},
    ],
)
def test_a_setting_that_is_refused(wrong: EmulatorOptions) -> None:
    """A setting outside its bounds is a `ValueError`."""
    with pytest.raises(ValueError):
        EmulatorSettings(**wrong)


def test_an_unknown_setting() -> None:
    """A setting that does not exist is a `TypeError`."""
    with pytest.raises(TypeError):
        Emulator(colour="red")  # type: ignore[call-arg]
