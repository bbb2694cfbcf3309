"""The way of a request: host, credential, project, path and latency."""

import asyncio

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api


async def test_v10_takes_its_own_header(api: Api) -> None:
    """On v1.0 the header is named Authentication, and its scheme is in lower case."""
    headers = {"Authentication": f"bearer {api.emulator.api_key}"}
    assert (await api.get("/v1.0/project/ping", headers=headers)).json == {"status": "pong"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "bearer KEY"},
        {"Authorization": "Bearer KEY"},
        {"Authentication": "Bearer KEY"},
        {"Authentication": "KEY"},
        {"Authentication": "bearer another"},
        {"Authentication": "bearer "},
    ],
)
async def test_v10_refuses_what_is_not_documented(api: Api, headers: dict[str, str]) -> None:
    """Another header, another scheme or another key is 401 with a text in `error`."""
    given = {name: value.replace("KEY", api.emulator.api_key) for name, value in headers.items()}
    answer = await api.get("/v1.0/project/ping", headers=given)
    assert answer.status == 401
    assert list(answer.json) == ["error"]
    assert isinstance(answer.json["error"], str)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authentication": "bearer KEY"}, {"Authorization": "bearer KEY"}],
)
async def test_v1_refuses_with_its_envelope(api: Api, headers: dict[str, str]) -> None:
    """On v1 the error is an object of code, message and request id."""
    given = {name: value.replace("KEY", api.emulator.api_key) for name, value in headers.items()}
    answer = await api.get("/v1/devices", headers=given)
    assert answer.status == 401
    assert set(answer.json["error"]) == {"code", "message", "request_id"}
    assert answer.json["error"]["code"] == "unauthorized"
    assert answer.json["error"]["request_id"].startswith("req_")


async def test_foreign_project(api: Api) -> None:
    """A valid key has no access to another project."""
    answer = await api.get("/v1.0/project/000000000000000000000000/inspect")
    assert (answer.status, answer.json) == (403, {"error": "no access to this project"})


@pytest.mark.parametrize("path", ["/v1.0/project", "/v1.0/nothing", "/v1/nothing", "/v2/x", "/"])
async def test_unknown_address(api: Api, path: str) -> None:
    """An address that does not exist is 404 in the shape of its generation."""
    answer = await api.get(path)
    assert answer.status == 404
    assert ("code" in answer.json["error"]) == path.startswith("/v1/")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1.0/project/ping", "GET"),
        ("DELETE", "DEVICE/props", "GET, PUT"),
        ("GET", "DEVICE/command", "POST"),
        ("PUT", "/v1/devices", "GET"),
    ],
)
async def test_wrong_method(api: Api, method: str, path: str, allowed: str) -> None:
    """A method that a path does not have is 405, and the answer lists those it has."""
    answer = await api.ask(method, path.replace("DEVICE", api.device))
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


async def test_an_id_is_decoded_after_the_path_was_split(api: Api) -> None:
    """An encoded slash belongs to the id and does not make another path."""
    answer = await api.get(f"{api.project}/device/a%2Fprops/props")
    assert (answer.status, answer.json) == (404, {"error": "device not found"})


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", "localhost:1", ""])
@pytest.mark.parametrize("path", ["/v1.0/project/ping", "/_emulator/state"])
async def test_a_foreign_host(api: Api, host: str, path: str) -> None:
    """A request for another name or port, as DNS rebinding makes one, is refused."""
    headers = {"Authentication": f"bearer {api.emulator.api_key}", "Host": host}
    assert (await api.get(path, headers=headers)).status == 421


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
async def test_its_own_names(api: Api, name: str) -> None:
    """Each of the server's own names, with its port, is accepted."""
    port = api.emulator.base_url.rsplit(":", 1)[1]
    headers = {"Authentication": f"bearer {api.emulator.api_key}", "Host": f"{name}:{port}"}
    assert (await api.get("/v1.0/project/ping", headers=headers)).status == 200


@pytest.mark.parametrize("latency", [0.05, (0.05, 0.06)])
async def test_a_request_takes_its_time(
    http: aiohttp.ClientSession, latency: float | tuple[float, float]
) -> None:
    """No answer comes before the latency has passed, and requests wait side by side."""
    async with Emulator(devices=1, messages=1, latency=latency) as emulator:
        api = Api(emulator, http)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(api.page() for _ in range(5)))
        assert loop.time() - begun >= 0.05
        await emulator.until_requests(5)
