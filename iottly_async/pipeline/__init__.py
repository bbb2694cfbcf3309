"""One call: deadline, permit, attempt, answer, retry.

`calls` has the steps in their order; each step's work is another file's:

- `attempts` sends one attempt, and `call_state` holds what is known of a call under way.
- `outcome` decides what a failure means and which error a call ends with.
- `patience` and `outage` wait out failures that pass, for work that goes by itself (D18).
- `hooks`, `notices` and `quota_waits` tell users what happens, by events and log lines.
- `options` has what the rooms above see.
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
