"""Calls as OpenTelemetry's spans and metrics (extra ``otel``): off unless a session is asked.

::

    from iottly_async.integrations.otel import instrumented

    async with IottlySession() as session:
        project = instrumented(session).project("59c19cacecc01400075f3bc9")

Only ``opentelemetry-api`` is needed; where the spans and metrics go is the program's own
setting, and without one they go nowhere. One span a call, whatever attempts it takes, named
by the call ("messages.page"); a walk has one for each page. Neither span nor metric has an
id, a name, a path or a text of the service's in it, and so none has the key.

=========================  ==========================================================
span's attribute           what it tells
=========================  ==========================================================
``http.request.method``    GET, PUT or POST
``iottly.generation``      of the API: "v1.0" or "v1"
``iottly.command``         whether the call makes a device act
``error.type``             the error's class, or "CancelledError"
``iottly.sent``            of an error: "no", "maybe" or "yes"
``iottly.attempts``        of an error: how many there were
``iottly.request_id``      of an error of generation v1, as the service gave it
``http.response.status_code``  of an error that is an answer
=========================  ==========================================================

Metrics: ``iottly.client.call.duration`` (a histogram in seconds, by ``iottly.call`` and
``error.type``; its count is that of the calls), and after each call the gauges
``iottly.client.quota.remaining`` and ``iottly.client.quota.waiting``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

try:
    from opentelemetry.metrics import Meter, MeterProvider, get_meter
    from opentelemetry.trace import (
        Span,
        SpanKind,
        Status,
        StatusCode,
        Tracer,
        TracerProvider,
        get_tracer,
    )
except ImportError as error:
    raise ImportError(
        "iottly_async.integrations.otel needs the extra otel: pip install 'iottly-async[otel]'"
    ) from error

from .._version import __version__
from ..errors import IottlyError
from ..session import IottlySession
from ..wire import Route

_NAME = "iottly_async"


def instrumented(
    session: IottlySession,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> IottlySession:
    """A view of a session (`IottlySession.with_options`) whose calls are spans and metrics.

    Calls made through the session itself are not. Streams and the waits between two calls
    that belong together have no span of their own.

    Args:
        session: or a view of it.
        tracer_provider, meter_provider: of opentelemetry; None takes the program's global
            ones.
    """
    tracer = get_tracer(_NAME, __version__, tracer_provider)
    meter = get_meter(_NAME, __version__, meter_provider)
    return session.with_options(observer=_Observer(session, tracer, meter))


class _Observer:
    """Goes around each call."""

    def __init__(self, session: IottlySession, tracer: Tracer, meter: Meter) -> None:
        self._session = session
        self._tracer = tracer
        self._duration = meter.create_histogram(
            "iottly.client.call.duration", "s", "From the call to its result, waits included"
        )
        self._remaining = meter.create_gauge(
            "iottly.client.quota.remaining", "{request}", "What is left of the key's window"
        )
        self._waiting = meter.create_gauge(
            "iottly.client.quota.waiting", "{call}", "Calls that wait for their turn"
        )

    @contextmanager
    def __call__(self, route: Route) -> Iterator[None]:
        measured = {"iottly.call": route.name}
        begun = time.perf_counter()
        with self._tracer.start_as_current_span(
            route.name,
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": route.method,
                "iottly.generation": route.generation,
                "iottly.command": route.command,
            },
            # A stack with the texts of errors is more than is to be told.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except (IottlyError, asyncio.CancelledError) as error:
                measured["error.type"] = type(error).__name__
                _tell(span, error)
                raise
            finally:
                self._duration.record(time.perf_counter() - begun, measured)
                self._tell_quota()

    def _tell_quota(self) -> None:
        quota = self._session.quota
        self._waiting.set(quota.waiting)
        if quota.remaining is not None:
            self._remaining.set(quota.remaining)


def _tell(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, IottlyError):
        return  # to be cancelled is no fault of the call's
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    facts = {
        "http.response.status_code": error.status,
        "iottly.attempts": error.attempts,
        "iottly.request_id": error.request_id,
        "iottly.sent": error.sent,
    }
    span.set_attributes({name: value for name, value in facts.items() if value is not None})
