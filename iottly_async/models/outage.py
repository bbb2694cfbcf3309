"""An outage of the service, as a session sees it."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from ._model import Model


@frozen(kw_only=True)
class Outage(Model):
    """An outage that goes on: the last attempts of all calls have failed.

    Attributes:
        since: when the first of these attempts failed; aware, UTC.
        seconds: how long ago that was.
        reason: how the last attempt failed, such as "ServerError 503" or "ConnectError".
    """

    since: datetime
    seconds: float
    reason: str
