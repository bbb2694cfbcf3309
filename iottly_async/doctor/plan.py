"""Which requests a diagnosis makes: GET only, and never more than `MOST_REQUESTS`."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from ..models._model import Model
from ..wire import Route

MOST_REQUESTS: Final = 40
"""A diagnosis never sends more requests than this."""

MOST_REPEATS: Final = 5
"""Requests that are sent once more because the service refused or failed the first time."""

_PAGES: Final = "project/{project}/device/{device}/messages/paginated"
_HISTORY: Final = "project/{project}/messages/{device}"


@frozen(kw_only=True)
class PlannedRequest(Model):
    """Requests that a diagnosis will make.

    Attributes:
        request: method and path without ids.
        most: how many of them, at most.
        purpose: what they are for.
    """

    request: str
    most: int
    purpose: str


@frozen
class Step:
    """A step of the diagnosis: requests of one call for one purpose.

    Attributes:
        route: the call.
        most: requests, at most.
        purpose: what they are for.
    """

    route: Route
    most: int = field(kw_only=True)
    purpose: str = field(kw_only=True)


_PING = Route("doctor.ping", "GET", "v1.0", "project/ping")
_PROJECT = Route("doctor.project", "GET", "v1.0", "project/{project}/inspect")
_DEVICES = Route("doctor.devices", "GET", "v1.0", "project/{project}/devices/props")
_FLEET = Route("doctor.fleet", "GET", "v1", "devices")
_PAGE = Route("doctor.page", "GET", "v1.0", _PAGES)
_MESSAGES = Route("doctor.history", "GET", "v1.0", _HISTORY)
_STREAM = Route("doctor.stream", "GET", "v1", "stream")

PING = Step(_PING, most=1, purpose="does v1.0 accept the key; limit headers; clock")
FLEET = Step(_FLEET, most=1, purpose="does v1 accept the key; page size; one quota or two")
PROJECT = Step(_PROJECT, most=1, purpose="access to the project; one quota or two")
DEVICES = Step(_DEVICES, most=1, purpose="a device with messages; unknown fields")
NEWEST = Step(_PAGE, most=6, purpose="a sample: the newest messages of up to six devices")
OLDEST = Step(_PAGE, most=1, purpose="a sample: the oldest messages of one device")
REPEATS = Step(_PAGE, most=3, purpose="the order within a millisecond, asked again")
NUMBERS = Step(_PAGE, most=2, purpose="where page numbers start")
FORMS = Step(_PAGE, most=4, purpose="which forms of time `from` takes, and how precisely")
RANGE = Step(_PAGE, most=1, purpose="whether `from` includes and `to` excludes")
NOTHING = Step(_PAGE, most=1, purpose="the answer if no message matches")
LATE = Step(_PAGE, most=1, purpose="messages that became visible late")
LATEST = Step(_MESSAGES, most=1, purpose="the order of the history, and its times")
FILTERED = Step(_MESSAGES, most=1, purpose="whether the history understands $date in a filter")
STREAM = Step(_STREAM, most=1, purpose="whether a WebSocket answers at the assumed address")

STEPS: Final = (
    *(PING, FLEET, PROJECT, DEVICES, NEWEST, OLDEST, REPEATS, NUMBERS, FORMS, RANGE, NOTHING),
    *(LATEST, FILTERED, LATE, STREAM),
)


def plan() -> tuple[PlannedRequest, ...]:
    """Say which requests `diagnose` will make. Nothing is sent.

    Up to `MOST_REPEATS` of them may be sent once more, if the service refuses or fails.

    Returns:
        The requests, in order. Some are not needed for every service.

    Example:
        ```python
        for planned in plan():
            print(planned.most, planned.request, planned.purpose)
        ```
    """
    return tuple(
        PlannedRequest(request=step.route.template, most=step.most, purpose=step.purpose)
        for step in STEPS
    )
