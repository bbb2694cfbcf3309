"""A running emulator, and a plain HTTP client that knows only the two credential headers."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import aiohttp
import pytest
from yarl import URL

from iottly_async.emulator import Emulator

HEADERS = {"v1.0": ("Authentication", "bearer"), "v1": ("Authorization", "Bearer")}


class Answer(NamedTuple):
    """An answer as it was received."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded; fails if it is not JSON or not declared as JSON."""
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


class Api:
    """Plain requests to an emulator, with the credential of the path's generation."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.http = http
        self.project = f"/v1.0/project/{emulator.project_id}"
        self.device = f"{self.project}/device/{emulator.device_ids[0]}"
        self.pages = f"{self.device}/messages/paginated"
        self.history = f"{self.project}/messages/{emulator.device_ids[0]}"
        self.fleet_device = f"/v1/devices/{emulator.fleet_ids[0]}"

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Send one request; `headers` replaces the credential."""
        if headers is None:
            name, scheme = HEADERS.get(path.split("/")[1], HEADERS["v1.0"])
            headers = {name: f"{scheme} {key or self.emulator.api_key}"}
        url = URL(self.emulator.base_url + path, encoded=True)
        async with self.http.request(method, url, headers=headers, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **options: Any) -> Answer:
        """Send a GET request."""
        return await self.ask("GET", path, **options)

    async def page(self, **params: str | int) -> Answer:
        """Get a page of the first device's messages; a trailing underscore in a name is dropped."""
        return await self.get(
            self.pages, params={name.rstrip("_"): str(v) for name, v in params.items()}
        )

    async def times(self, **params: str | int) -> list[str]:
        """The timestamps on a page."""
        answer = await self.page(**params)
        assert answer.status == 200, answer
        return [message["timestamp"] for message in answer.json["messages"]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A running emulator with a small fleet."""
    async with Emulator(devices=5, messages=300) as running:
        yield running


@pytest.fixture
async def api(emulator: Emulator, http: aiohttp.ClientSession) -> Api:
    """Plain requests to `emulator`."""
    return Api(emulator, http)


@pytest.fixture
async def empty(http: aiohttp.ClientSession) -> AsyncIterator[Api]:
    """Plain requests to an emulator with one device that has no messages."""
    async with Emulator(devices=1, messages=0) as running:
        yield Api(running, http)
