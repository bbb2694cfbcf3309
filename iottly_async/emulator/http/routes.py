"""The routes of both generations in one table: which handler answers which path.

Faults and request records refer to a route by its name.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

import attrs

from . import fleet_api, messages_api, project_api, stream_api
from .answers import V1, V1_0
from .call import Handler


class Route(NamedTuple):
    """A name, an HTTP method, a path with ``{names}`` in it, and the handler."""

    name: str
    method: str
    path: str
    handler: Handler


ROUTES = (
    Route("ping", "GET", "/v1.0/project/ping", project_api.ping),
    Route("inspect", "GET", "/v1.0/project/{project}/inspect", project_api.inspect),
    Route("licenses", "GET", "/v1.0/project/{project}/license", project_api.licenses),
    Route("licenses", "GET", "/v1.0/project/{project}/license/", project_api.licenses),
    Route("license", "GET", "/v1.0/project/{project}/license/{license}", project_api.license_),
    Route("devices", "GET", "/v1.0/project/{project}/devices/props", project_api.devices),
    Route("device", "GET", "/v1.0/project/{project}/device/{device}/props", project_api.device),
    Route("rename", "PUT", "/v1.0/project/{project}/device/{device}/props", project_api.rename),
    Route(
        "command", "POST", "/v1.0/project/{project}/device/{device}/command", project_api.command
    ),
    Route("history", "GET", "/v1.0/project/{project}/messages/{device}", messages_api.history),
    Route(
        "paginated",
        "GET",
        "/v1.0/project/{project}/device/{device}/messages/paginated",
        messages_api.paginated,
    ),
    Route("fleet_devices", "GET", "/v1/devices", fleet_api.devices),
    Route("fleet_device", "GET", "/v1/devices/{device}", fleet_api.device),
    Route("fleet_command", "POST", "/v1/devices/{device}/commands", fleet_api.command),
    Route("fleet_result", "GET", "/v1/commands/{command}", fleet_api.result),
    Route("stream", "GET", "/v1/stream", stream_api.stream),
)
ROUTE_NAMES = frozenset(route.name for route in ROUTES)


@attrs.frozen
class Match:
    """The route of a request and the names in its path.

    ``route`` is None if the path exists with other methods only, which are then ``allowed``, or if
    it does not exist.
    """

    route: Route | None
    params: Mapping[str, str]
    allowed: tuple[str, ...] = ()


def generation_of(path: str) -> str | None:
    """The generation that a path belongs to, by its first segment; None if to neither."""
    first = path.split("/", 2)[1:2]
    return first[0] if first and first[0] in (V1, V1_0) else None


class Router:
    """Finds the route of a raw path; it decodes segments only after it has split the path."""

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._by_length: dict[int, list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            pattern = tuple(route.path.split("/"))
            self._by_length.setdefault(len(pattern), []).append((pattern, route))

    def match(self, method: str, raw_path: str) -> Match:
        """The route for a method and a path, and the names in the path."""
        segments = raw_path.split("/")
        allowed: list[str] = []
        for pattern, route in self._by_length.get(len(segments), ()):
            params = _bind(pattern, segments)
            if params is None:
                continue
            if route.method == method:
                return Match(route, params)
            allowed.append(route.method)
        return Match(None, {}, tuple(allowed))


def _bind(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            if not given:
                return None
            params[wanted[1:-1]] = unquote(given)
        elif wanted != given:
            return None
    return params
