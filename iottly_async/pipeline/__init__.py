"""One call: deadline, permit, attempt, answer, retry.

`calls` has the steps in their order; each step's work is another room's. `call_state` holds
what is known of a call under way, `outcome` decides which error it ends with, `outage` waits
out outages for work that goes by itself, `hooks` has what a user is told of calls, and
`options` has what the rooms above see.
"""

from .calls import Pipeline
from .hooks import (
    CallEvent,
    FailureEvent,
    Hooks,
    OutageEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    WaitEvent,
    notify,
)
from .options import Options, Requester, Stats, Upgrade

__all__ = [
    "CallEvent",
    "FailureEvent",
    "Hooks",
    "Options",
    "OutageEvent",
    "Pipeline",
    "RequestEvent",
    "Requester",
    "ResponseEvent",
    "RetryEvent",
    "Stats",
    "Upgrade",
    "WaitEvent",
    "notify",
]
