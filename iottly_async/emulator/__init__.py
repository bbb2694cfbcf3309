"""An emulator of the Iottly cloud: a real server on a loopback port, with a made-up fleet.

It shares nothing with the client of this package, neither routes nor models nor codec, so that a
mistake in one cannot hide in the other. There are three ways to run it:

```python
async with Emulator(devices=3, messages=500) as emulator: ...  # in this event loop
with EmulatorThread(devices=3, messages=500) as emulator: ...  # in a thread, for any code
```

```sh
python -m iottly_async.emulator --port 8123  # as a process
```

A program uses it by ``emulator.base_url`` and ``emulator.api_key``, which is ``DEVELOPMENT_KEY``
by default and is accepted by both generations. ``EmulatorSettings`` describes the settings,
``EmulatorHandle`` the methods, and ``Fault`` what can go wrong.

The same seed and settings give the same fleet, byte for byte, on any day. Its history ends at a
fixed time in the past (``REFERENCE_END``), so a walk without bounds finds all of it.

The control address ``/_emulator/`` does over HTTP what the methods do, for tests in another
process. It needs no API key, and on one machine no other credential. Requests and answers are JSON;
a POST must say ``Content-Type: application/json``, and every field of its body is optional unless
said otherwise.

- ``GET health``: ``{"status": "ok"}``, for whoever starts the emulator and waits for it.
- ``GET openapi.json``: the API that is emulated, both generations, as an OpenAPI 3.1 document.
- ``GET state``: fleet, counts, clock, faults and settings.
- ``POST reset``: go back to the start. The body is ``{}``.
- ``POST seed``: make another fleet. Fields: ``seed``, ``devices``, ``messages``, ``days``,
  ``until``, ``licenses``, ``jsonl``.
- ``GET faults``: the faults. ``POST faults``: add one; the fields of ``Fault``, of which ``kind``
  is required. ``DELETE faults``: remove all, and release what stalls.
- ``GET outage``: the outage that lasts, or null. ``POST outage``: begin one; the fields of
  ``ServiceOutage``, of which ``kind`` is required, and ``seconds`` too if ``kind`` is ``refuse``.
  ``DELETE outage``: end it.
- ``GET clock``: the server's clock. ``POST clock``: change it. Fields: ``offset`` and
  ``stamp_offset`` (seconds), ``pin`` (a time, or null for now), ``unpin`` (true), ``advance``
  (seconds).
- ``POST devices``: connect or disconnect a device. Fields: ``device_id``, ``connected``; both are
  required.
- ``GET requests``: the requests that arrived. ``DELETE requests``: forget them.
- ``GET commands``: the commands that were accepted.
- ``POST append``: append messages. Fields: ``device_id`` (required), ``messages`` (a number or a
  list), ``late_by`` (seconds). Or rows of any form: ``device_id``, ``raw`` (a list), ``timestamp``,
  ``late_by``. Or append at a steady rate: ``rate`` (messages a second; 0 stops),
  ``device_ids``.
- ``GET webhooks``: the webhooks. ``POST webhooks``: add one; the fields of ``Webhook``, of which
  ``url`` is required. ``DELETE webhooks``: remove all.
- ``GET deliveries``: what was sent to webhooks.
- ``GET streams``: how many streams are subscribed. ``POST streams``: disturb the open streams.
  Fields: ``drop`` (a close code, or null for a reset), ``stall`` (true or false), ``lose`` and
  ``reverse`` (how many messages), ``heartbeat`` (seconds).
"""

from .clock import EmulatorClock
from .faults import Fault, FaultKind
from .handle import EmulatorHandle
from .outage import OutageKind, ServiceOutage
from .quota import QuotaDecision
from .records import CommandRecord, RequestRecord
from .server import Emulator, run, serve
from .settings import DEVELOPMENT_KEY, REFERENCE_END, EmulatorOptions, EmulatorSettings
from .thread import EmulatorThread
from .webhooks import Delivery, Webhook

__all__ = [
    "DEVELOPMENT_KEY",
    "REFERENCE_END",
    "CommandRecord",
    "Delivery",
    "Emulator",
    "EmulatorClock",
    "EmulatorHandle",
    "EmulatorOptions",
    "EmulatorSettings",
    "EmulatorThread",
    "Fault",
    "FaultKind",
    "OutageKind",
    "QuotaDecision",
    "RequestRecord",
    "ServiceOutage",
    "Webhook",
    "run",
    "serve",
]
