"""The asyncio SDK for the Iottly IoT cloud.

Open an `IottlySession`, ask it for a project, and walk its devices' messages:

```python
from iottly_async import IottlySession

async with IottlySession() as session:  # IOTTLY_API_KEY from the environment
    async for message in session.project(project_id).messages.walk(device_id):
        print(message.timestamp, message.payload)
```

Names to begin with:

- `IottlySession`, with `Config` and `RetryPolicy` for its settings
- `Message`, `Device`, `Cursor`: what calls return
- `IottlyError`, the base of all errors, and `RateLimitedError`, `NotFoundError`, …
- `Hooks`: functions of yours that are called with what happens

Modules to import from, each with a docstring to read on in; all others are internal:

- `iottly_async.ingest`: the messages of devices into a store
- `iottly_async.webhooks`: messages that the service posts to you
- `iottly_async.integrations`: FastAPI, Dask, OpenTelemetry, pytest
- `iottly_async.doctor`: what a service does where its documents are silent
- `iottly_async.emulator`: a server of the API, to try all of this without an account
- `iottly_async.stream.protocol`: other frames of the WebSocket
- `iottly_async.resources`: the classes of `project.messages` and its like, for annotations

What calls wait for is logged, by these children of the logger ``iottly_async``. No line holds a
key, a body or a payload:

- ``iottly_async.retry``: each retry and each answer of 429 at DEBUG; WARNING for a call that fails
  again and again while others succeed
- ``iottly_async.quota``: INFO for a wait for quota of more than 10 s, once a wait
- ``iottly_async.outage``: WARNING when an outage of the service begins, INFO when it ends
- ``iottly_async.walk``, ``iottly_async.follow``, ``iottly_async.ingest``, ``iottly_async.stream``,
  ``iottly_async.webhooks``: what these found or gave up

The same as values: `Hooks`, `IottlySession.outage` and `IottlySession.quota`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._public import *  # noqa: F403 - it has an __all__
    from ._public import __all__ as __all__
    from .ratelimit import RedisLimiter as RedisLimiter
    from .webhooks import RedisSeenKeys as RedisSeenKeys
else:
    _MODULES = "doctor", "emulator", "ingest", "integrations", "resources", "stream", "webhooks"

    # Importing all names takes a third of a second, and pytest imports this package for its
    # plugin wherever it is installed. So the names are imported when the first is used.
    def __getattr__(name: str) -> object:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(name)  # the import system asks for names that are not here
        from importlib import import_module

        if name in _MODULES:
            return import_module(f".{name}", __name__)
        # Not in `__all__`: they need the extra `redis`.
        redis = {
            "RedisLimiter": ".ratelimit.distributed.limiter",
            "RedisSeenKeys": ".webhooks.redis_dedupe",
        }
        if name in redis:
            return getattr(import_module(redis[name], __name__), name)
        public = import_module("._public", __name__)
        names = {each: getattr(public, each) for each in public.__all__}
        globals().update(names, __all__=public.__all__)
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        # What people import: neither the modules inside nor this file's own names.
        return [*__getattr__("__all__"), *_MODULES]
