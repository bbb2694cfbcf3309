"""An Iottly cloud in the box: a real server on a loopback port, with a made-up fleet behind it.

It shares nothing with the client of this package, neither routes nor models nor codec, so that a
mistake in the one cannot hide in the other. Three ways to run it::

    async with Emulator(devices=3, messages=500) as emulator: ...     # in this event loop
    with EmulatorThread(devices=3, messages=500) as emulator: ...     # in a thread, for any code
    python -m iottly_async.emulator --port 8123                       # as a process

Any program is pointed at it by ``emulator.base_url`` and ``emulator.api_key`` (``DEVELOPMENT_KEY``,
good on both generations). Settings are listed in ``EmulatorSettings``, methods in ``Surface``,
faults in ``Fault``.

The same seed and settings give the same fleet, byte for byte, on any day: its history ends at a
fixed time in the past (``REFERENCE_END``), so a walk without bounds finds all of it.

The control address ``/_emulator/`` does over HTTP what the methods do, for tests in another
process. It takes and gives JSON (a POST must say ``Content-Type: application/json``) and needs no
key.

=============================== ===================================================================
``GET state``                   fleet, counts, clock, faults in force, settings
``POST reset``                  ``{}``: back to the beginning
``POST seed``                   ``{seed, devices, messages, days, until, licenses, jsonl}``, each
                                optional: another fleet
``GET``, ``POST``, ``DELETE     in force; add one (fields of ``Fault``); clear, release stalls
faults``
``GET``, ``POST clock``         ``{offset: seconds}``, ``{pin: time or null for now}``,
                                ``{unpin: true}``, ``{advance: seconds}``
``GET``, ``DELETE requests``    those that arrived; forget them
``GET commands``                those that were executed
``POST append``                 ``{device_id, messages: number or list, late_by}``, or ``{rate,
                                device_ids}`` for a steady flow (rate 0: stop)
``GET``, ``POST``, ``DELETE     those that are set up; add one (fields of ``Webhook``); take all
webhooks``                      down
``GET deliveries``              what was sent to webhooks
``GET``, ``POST streams``       how many are subscribed; ``{drop: close code or null for a reset,
                                stall: true or false, lose: count, reverse: count, heartbeat:
                                seconds}``, each optional
=============================== ===================================================================
"""

from .clock import EmulatorClock
from .faults import Fault, FaultKind
from .journal import CommandRecord, RequestRecord
from .process import run, serve
from .quota import Verdict
from .server import Emulator
from .settings import DEVELOPMENT_KEY, REFERENCE_END, EmulatorOptions, EmulatorSettings
from .surface import Surface
from .thread import EmulatorThread
from .webhooks import Delivery, Webhook

__all__ = [
    "DEVELOPMENT_KEY",
    "REFERENCE_END",
    "CommandRecord",
    "Delivery",
    "Emulator",
    "EmulatorClock",
    "EmulatorOptions",
    "EmulatorSettings",
    "EmulatorThread",
    "Fault",
    "FaultKind",
    "RequestRecord",
    "Surface",
    "Verdict",
    "Webhook",
    "run",
    "serve",
]
