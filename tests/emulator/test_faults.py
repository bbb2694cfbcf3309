"""Fault injection, as a client sees it on the wire."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator, Fault, FaultKind

from .conftest import Api

COMMAND = {"cmd_type": "echo", "values": {"echo.content": "hi"}}


async def send(api: Api) -> Any:
    """Send a command, which a client library never sends twice on its own."""
    return await api.ask("POST", f"{api.device}/command", json=COMMAND)


async def raw(api: Api, path: str) -> bytes:
    """All bytes of an answer until the connection ends; raises if it is reset."""
    host, port = api.emulator.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        f"Authentication: bearer {api.emulator.api_key}\r\n\r\n".encode()
    )
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_status(api: Api) -> None:
    """A status has the shape of its generation, and is injected once by default."""
    api.emulator.fault("status", status=503, headers={"Retry-After": "7"})
    answer = await api.page()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert isinstance(answer.json["error"], str)
    assert (await api.page()).status == 200
    api.emulator.fault("status", status=503)
    assert (await api.get("/v1/devices")).json["error"]["code"] == "unavailable"


@pytest.mark.parametrize(
    ("body", "sent"), [(b"\xff", b"\xff"), ("text", b"text"), ({"a": 1}, b'{"a":1}')]
)
async def test_a_status_with_a_body(api: Api, body: Any, sent: bytes) -> None:
    """A text or bytes are sent as given, any other value as JSON."""
    api.emulator.fault("status", status=418, body=body)
    answer = await api.page()
    assert (answer.status, answer.body) == (418, sent)


async def test_a_page_of_a_proxy(api: Api) -> None:
    """An HTML page is sent instead of JSON."""
    api.emulator.fault("html")
    answer = await api.page()
    assert (answer.status, answer.headers["Content-Type"]) == (502, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_body(api: Api, after: bool) -> None:
    """Fewer bytes arrive than `Content-Length` says, then the connection ends."""
    api.emulator.fault("cut", after=after)
    head, _, body = (await raw(api, api.pages)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    (length,) = [
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"Content-Length" in line
    ]
    assert 0 < len(body) < length


@pytest.mark.parametrize("after", [False, True])
async def test_a_reset(api: Api, after: bool) -> None:
    """The connection is reset, not closed, and no byte arrives."""
    api.emulator.fault("reset", after=after)
    with pytest.raises(ConnectionResetError):
        await raw(api, api.pages)
    assert api.emulator.requests[-1].status is None


async def test_garbage(api: Api) -> None:
    """The status is 200 and the body is not JSON."""
    api.emulator.fault("garbage")
    answer = await api.page()
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


async def test_an_empty_answer(api: Api) -> None:
    """The status is 200 and there is no body."""
    api.emulator.fault("empty")
    answer = await api.page()
    assert (answer.status, answer.body) == (200, b"")


async def test_a_stall_until_released(api: Api) -> None:
    """A request hangs until it is released, and then goes on as usual."""
    api.emulator.fault("stall")
    hanging = asyncio.create_task(send(api))
    await api.emulator.until_requests(1)
    assert api.emulator.commands == []
    assert api.emulator.requests[0].status is None
    api.emulator.release()
    assert (await hanging).status == 200
    assert len(api.emulator.commands) == 1


async def test_a_stall_after_the_fact(api: Api) -> None:
    """With `after` the command is executed while its answer hangs."""
    api.emulator.fault("stall", route="command", after=True)
    executed = asyncio.create_task(send(api))
    while not api.emulator.commands:
        await api.get("/v1/devices")
    assert not executed.done()
    api.emulator.clear_faults()
    assert (await executed).status == 200


async def test_a_stall_of_some_time(api: Api) -> None:
    """A stall with a length ends on its own."""
    fault = api.emulator.fault("stall", seconds=0.01)
    assert (await api.page()).status == 200
    assert fault.injected == 1


async def test_closing_cuts_off_hanging_requests(http: aiohttp.ClientSession) -> None:
    """Closing the emulator cuts off hanging requests, and executes none of them."""
    async with Emulator(devices=1, messages=0) as emulator:
        emulator.fault("stall")
        hanging = asyncio.create_task(send(Api(emulator, http)))
        await emulator.until_requests(1)
    with pytest.raises(aiohttp.ClientError):
        await hanging
    assert emulator.commands == []


@pytest.mark.parametrize("kind", ["status", "html", "cut", "reset", "garbage", "empty"])
@pytest.mark.parametrize("after", [False, True])
async def test_before_or_after(api: Api, kind: FaultKind, after: bool) -> None:
    """A fault before the handler executes nothing; a fault after it loses only the answer."""
    fault = api.emulator.fault(kind, after=after)
    try:
        await send(api)
        lost = False
    except aiohttp.ClientError:
        lost = True
    assert lost == (kind in ("cut", "reset"))
    assert fault.injected == 1
    assert len(api.emulator.commands) == after
    record = api.emulator.requests[-1]
    assert (record.fault, record.handled) == (kind, after)


async def test_before_spends_no_quota(http: aiohttp.ClientSession) -> None:
    """A fault before the handler uses no quota; a fault after it does."""
    async with Emulator(devices=1, messages=0, rate_limit=60) as emulator:
        emulator.clock.pin()
        emulator.fault("html")
        emulator.fault("html", after=True)
        api = Api(emulator, http)
        for _ in range(2):
            assert (await api.page()).status == 502
        assert (await api.page()).headers["X-RateLimit-Remaining"] == "58"


@pytest.mark.parametrize(
    ("chosen", "statuses"),
    [
        ({"route": "paginated"}, [500, 200, 200]),
        ({"route": "command"}, [200, 500, 200]),
        ({"method": "post"}, [200, 500, 200]),
        ({"route": "/v1/*"}, [200, 200, 500]),
        ({"route": "/v1.0/project/*/device/*"}, [500, 500, 200]),
        ({}, [500, 500, 500]),
    ],
)
async def test_which_requests(api: Api, chosen: dict[str, str], statuses: list[int]) -> None:
    """A fault is injected into the route, the path pattern or the method that it names."""
    api.emulator.fault("status", count=None, **chosen)  # type: ignore[arg-type]
    answers = [await api.page(), await send(api), await api.get("/v1/devices")]
    assert [answer.status for answer in answers] == statuses


async def test_count_and_skip(api: Api) -> None:
    """The first `skip` requests pass, and the next `count` get the fault."""
    api.emulator.fault("status", skip=2, count=2)
    assert [(await api.page()).status for _ in range(6)] == [200, 200, 500, 500, 200, 200]


async def test_probability(api: Api) -> None:
    """With a probability some requests get the fault, the same ones for the same seed."""
    seen = []
    for _ in range(2):
        api.emulator.reset()
        api.emulator.fault("status", probability=0.5, count=None)
        seen.append([(await api.get("/v1.0/project/ping")).status for _ in range(40)])
    assert seen[0] == seen[1]
    assert 5 < seen[0].count(500) < 35


@pytest.mark.parametrize(
    ("seconds", "date"),
    [(3600, "Sun, 01 Mar 2026 13:00:00 GMT"), (-90, "Sun, 01 Mar 2026 11:58:30 GMT")],
)
async def test_a_wild_date(api: Api, seconds: float, date: str) -> None:
    """One answer has a `Date` that is off; the rest of it is as usual, and so is the next."""
    api.emulator.clock.pin("2026-03-01T12:00:00Z")  # type: ignore[arg-type]
    usual = await api.page()
    api.emulator.fault("date", seconds=seconds)
    wild = await api.page()
    assert (wild.status, wild.headers["Date"]) == (200, date)
    assert wild.body == usual.body
    assert (await api.page()).headers["Date"] == usual.headers["Date"]


async def test_a_date_that_is_no_date(api: Api) -> None:
    """The `Date` can be any text; without seconds or headers the fault is refused."""
    api.emulator.fault("date", headers={"Date": "yesterday"})
    assert (await api.page()).headers["Date"] == "yesterday"
    with pytest.raises(ValueError, match="seconds or headers"):
        api.emulator.fault("date")


@pytest.mark.parametrize("row", [0, 2, -1])
async def test_an_odd_row(api: Api, row: int) -> None:
    """One message of one answer is replaced; asked again, the page is whole."""
    usual = (await api.page(l=5)).json["messages"]
    api.emulator.fault("row", body={"from": None}, row=row)
    assert (await api.get("/v1/devices")).status == 200
    odd = (await api.page(l=5)).json["messages"]
    assert odd[row] == {"from": None}
    odd[row] = usual[row]
    assert odd == usual
    assert (await api.page(l=5)).json["messages"] == usual


async def test_an_odd_row_of_the_history(api: Api) -> None:
    """The history has odd rows too; bytes are sent as they are, JSON or not."""
    api.emulator.fault("row")
    assert isinstance((await api.get(api.history)).json["messages"][0], str)
    api.emulator.fault("row", body=b'{"from": NaN')
    assert b'"messages":[{"from": NaN,{' in (await api.get(api.history)).body
    api.emulator.fault("row", row=70)
    assert (await api.get(api.history)).json["messages"]


async def test_clearing(api: Api) -> None:
    """A fault that was removed is not injected any more."""
    api.emulator.fault("status", count=None)
    api.emulator.clear_faults()
    assert (await api.page()).status == 200


async def test_an_unknown_route_is_refused(api: Api) -> None:
    """A route that does not exist is refused; the error names those that do."""
    with pytest.raises(ValueError, match="paginated"):
        api.emulator.fault("status", route="pages")


@pytest.mark.parametrize(
    "wrong", [{"kind": "flood"}, {"status": 99}, {"probability": 2.0}, {"count": 0}, {"skip": -1}]
)
def test_a_fault_that_is_refused(wrong: dict[str, Any]) -> None:
    """A fault is validated when it is made."""
    with pytest.raises(ValueError):
        Fault(**{"kind": "status"} | wrong)


def test_the_error_for_an_unknown_kind() -> None:
    """The error for an unknown kind names the kind and the known ones."""
    with pytest.raises(ValueError) as refused:
        Fault(kind="boom")  # type: ignore[arg-type]
    assert str(refused.value).startswith("kind='boom': one of 'status', 'html', 'cut'")
