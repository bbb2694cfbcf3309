"""What every resource is given: how to call, how to read, and the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from ..clock import Clock
from ..codec import Answers
from ..config import Config
from ..follow.plan import Follower
from ..pipeline import Requester
from ..walk import Quirks


@frozen(kw_only=True)
class Context:
    """Shared by the resources of one session, or of one view of it.

    Attributes:
        requester: makes calls.
        answers: reads their bodies.
        config: the session's settings.
        clock: tells the time.
        pause: waits so many seconds, or until the session closes, which it raises.
        capacity: how many requests at once the quota can feed; None where it sets no bound.
        timeout: seconds a call, of the session or the view.
        follower: carries out what is to be followed.
        quirks: what walks have learned of the server.
    """

    requester: Requester
    answers: Answers
    config: Config
    clock: Clock
    capacity: Callable[[], int | None]
    pause: Callable[[float], Awaitable[None]]
    timeout: float
    follower: Follower
    quirks: Quirks
