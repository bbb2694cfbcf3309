"""Outages on command: what a client meets, and how the service comes back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator, EmulatorThread, OutageKind, ServiceOutage
from tests.support.virtual_time import run_virtual

from .conftest import Api

KINDS: list[OutageKind] = ["refuse", "reset", "html", "hang"]


@pytest.fixture
async def fresh(emulator: Emulator) -> AsyncIterator[Api]:
    """Plain requests, each on a connection of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        yield Api(emulator, http)


async def control(api: Api, method: str, body: Any = None) -> Any:
    """Ask the control address about the outage."""
    options = {} if body is None else {"json": body}
    answer = await api.ask(method, "/_emulator/outage", headers={}, **options)
    return answer.json if answer.status == 200 else answer.status


async def test_refused_connections(fresh: Api) -> None:
    """The port refuses connections until the outage ends, and then answers as before."""
    fresh.emulator.outage("refuse")
    with pytest.raises(aiohttp.ClientConnectorError):
        await fresh.page()
    fresh.emulator.end_outage()
    assert (await fresh.page()).status == 200


async def test_refusing_resets_open_connections(api: Api) -> None:
    """A connection that was open is reset when the port closes."""
    host, port = api.emulator.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await api.page()
    api.emulator.outage("refuse")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_reset_connections(api: Api) -> None:
    """Connections are accepted and reset without a byte."""
    api.emulator.outage("reset")
    for _ in range(3):
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await api.page()
    assert {record.fault for record in api.emulator.requests} == {"outage"}
    api.emulator.end_outage()
    assert (await api.page()).status == 200


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_page_of_a_proxy(api: Api, status: int) -> None:
    """A proxy answers every request with its own page, and nothing reaches the API."""
    api.emulator.outage("html", status=status)
    answer = await api.ask("POST", f"{api.fleet_device}/commands", json={"command": "true"})
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html")
    assert str(status).encode() in answer.body
    assert api.emulator.commands == []
    assert api.emulator.requests[-1].status == status


@pytest.mark.parametrize("retry_after", [None, 0, 30])
async def test_a_proxy_may_say_for_how_long(api: Api, retry_after: int | None) -> None:
    """The proxy's page has a `Retry-After` if one was asked for."""
    api.emulator.outage("html", retry_after=retry_after)
    expected = None if retry_after is None else str(retry_after)
    assert (await api.page()).headers.get("Retry-After") == expected


async def test_requests_that_hang(api: Api) -> None:
    """A request hangs for as long as the outage lasts, and is reset, not answered, at its end."""
    api.emulator.outage("hang")
    body = {"command": "true"}  # a POST, which aiohttp does not send again by itself
    path = f"{api.fleet_device}/commands"
    hanging = asyncio.create_task(api.ask("POST", path, json=body))
    await api.emulator.until_requests(1)
    done, _ = await asyncio.wait([hanging], timeout=0)
    assert not done
    api.emulator.end_outage()
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await hanging
    assert api.emulator.commands == []


async def test_a_fault_waits_for_the_end_of_an_outage(api: Api) -> None:
    """An outage uses up no fault and no quota."""
    fault = api.emulator.fault("status", status=418)
    api.emulator.outage("html")
    assert (await api.page()).status == 503
    api.emulator.end_outage()
    assert (fault.injected, (await api.page()).status) == (0, 418)


@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_of_a_minute(kind: OutageKind) -> None:
    """An outage with a length ends by itself after so many seconds, here of virtual time."""

    async def main() -> None:
        async with Emulator(devices=1, messages=3) as emulator, aiohttp.ClientSession() as http:
            loop = asyncio.get_running_loop()
            api, ends = Api(emulator, http), loop.time() + 60
            emulator.outage(kind, seconds=60)
            answers = []
            while loop.time() < ends + 2:
                try:
                    answers.append(((await api.page()).status, loop.time() < ends))
                except aiohttp.ClientError:
                    answers.append((0, loop.time() < ends))
                await asyncio.sleep(1.5)
            assert 200 not in [status for status, during in answers if during]
            assert answers[-1] == (200, False)
            assert emulator.present_outage is None

    run_virtual(main, listens=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_in_an_outage(kind: OutageKind, http: aiohttp.ClientSession) -> None:
    """An emulator can be closed while the service is away, and its port can be used again."""
    async with Emulator(devices=1, messages=3) as emulator:
        emulator.outage(kind)
        port = int(emulator.base_url.rsplit(":", 1)[1])
    async with Emulator(devices=1, messages=3, port=port) as again:
        assert (await Api(again, http).page()).status == 200


async def test_a_reset_ends_an_outage(api: Api) -> None:
    """Going back to the start ends the outage."""
    api.emulator.outage("html")
    api.emulator.reset()
    assert (await api.page()).status == 200


@pytest.mark.parametrize("kind", ["reset", "html", "hang"])
async def test_by_the_control_address(api: Api, kind: OutageKind) -> None:
    """The control address begins an outage, shows it, stays reachable and ends it."""
    begun = await control(api, "POST", {"kind": kind})
    assert begun == {"kind": kind, "seconds": None, "status": 503, "retry_after": None}
    assert await control(api, "GET") == begun
    assert api.emulator.present_outage == ServiceOutage(kind=kind)
    assert await control(api, "DELETE") is None
    assert (await api.page()).status == 200


async def test_refusing_by_the_control_address(api: Api, fresh: Api) -> None:
    """A closed port answers the one that asked for it, on that connection alone."""
    assert await control(api, "POST", {"kind": "refuse"}) == 400
    begun = await control(api, "POST", {"kind": "refuse", "seconds": 3600})
    assert begun["kind"] == "refuse"
    with pytest.raises(aiohttp.ClientConnectorError):
        await fresh.page()
    assert await control(api, "DELETE") is None
    assert (await fresh.page()).status == 200


@pytest.mark.parametrize(
    "wrong", [{"kind": "flood"}, {"kind": "html", "status": 500}, {"kind": "hang", "seconds": 0}]
)
async def test_an_outage_that_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    """A value that is not allowed is refused, by the method and by the control address."""
    with pytest.raises(ValueError):
        api.emulator.outage(**wrong)
    assert await control(api, "POST", wrong) == 400
    assert (await api.page()).status == 200


async def test_streams_in_an_outage(api: Api) -> None:
    """An open stream is reset when the service goes away."""
    headers = {"Authorization": f"Bearer {api.emulator.api_key}"}
    async with api.http.ws_connect(f"{api.emulator.base_url}/v1/stream", headers=headers) as ws:
        await ws.send_json({"type": "hello", "version": 1})
        await ws.receive_json()
        api.emulator.outage("html")
        assert (await ws.receive()).type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED)


def test_from_another_thread() -> None:
    """The handle of a thread begins and ends an outage as well."""
    with EmulatorThread(devices=1, messages=1) as emulator:
        emulator.outage("refuse", seconds=3600)
        assert emulator.present_outage == ServiceOutage(kind="refuse", seconds=3600)
        emulator.end_outage()
        assert emulator.present_outage is None


@pytest.mark.parametrize("kind", KINDS)
def test_on_uvloop(kind: OutageKind) -> None:
    """On uvloop, connections are refused and reset as on asyncio's own loop."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with (
            Emulator(devices=1, messages=3) as emulator,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
        ):
            api = Api(emulator, http)
            assert (await api.page()).status == 200
            emulator.outage(kind)
            if kind == "html":
                assert (await api.page()).status == 503
            elif kind == "hang":
                hanging = asyncio.create_task(api.page())
                await emulator.until_requests(2)
                hanging.cancel()
            else:
                with pytest.raises(aiohttp.ClientConnectionError):
                    await api.page()
            emulator.end_outage()
            assert (await api.page()).status == 200

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
