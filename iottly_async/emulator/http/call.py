"""One request to the API, as the handlers see it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from aiohttp import web

from ..faults import Fault
from ..fleet.devices import Device
from ..records import RequestRecord
from ..rows import load_json
from ..state import EmulatorState
from .answers import HttpError

MAX_PAGE = 2**31 - 1
"""The highest number of a page."""


@attrs.define(kw_only=True)
class Call:
    """What a handler gets: the state, the names from the path, the request and its record.

    ``fault`` is the fault that is injected into the request; None if there is none.
    """

    state: EmulatorState
    request: web.BaseRequest
    params: Mapping[str, str]
    record: RequestRecord
    fault: Fault | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters; of a parameter given twice, the first value."""
        return self.request.query

    def device(self) -> Device:
        """The v1.0 device in the path; 404 if there is none."""
        found = self.state.fleet.by_id.get(self.params["device"])
        if found is None:
            raise HttpError(404, "device not found", code="device_not_found")
        return found

    def fleet_device(self) -> Device:
        """The v1 device in the path; 404 if there is none."""
        found = self.state.fleet.by_fleet_id.get(self.params["device"])
        if found is None:
            raise HttpError(404, "There is no such device.", code="device_not_found")
        return found

    def whole_number(self, name: str, default: int, low: int, high: int) -> int:
        """An integer query parameter; 400 if it is out of bounds or not an integer."""
        text = self.query.get(name)
        if text is None:
            return default
        plain = text.isascii() and text.isdigit() and len(text) <= 12
        if not plain or not low <= int(text) <= high:
            raise HttpError(400, f"{name} must be a whole number, {low} to {high}")
        return int(text)

    async def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; 400 if it is none, 413 if it is too large."""
        return await read_json_object(self.request, self.state.settings.max_body)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


async def read_json_object(request: web.BaseRequest, limit: int) -> dict[str, Any]:
    """The body of a request as a JSON object; 400 if it is none, 413 beyond ``limit`` bytes."""
    if request.content_type != "application/json":
        raise HttpError(400, "Content-Type must be application/json")
    body = await read_body(request, limit)
    try:
        value = load_json(body, strict=True)
    except ValueError:
        raise HttpError(400, "the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise HttpError(400, "the body must be a JSON object")
    return value


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The body of a request; 413 beyond ``limit`` bytes."""
    too_large = HttpError(413, f"the body is larger than {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)
