"""The OpenTelemetry integration: a span and metrics for each call (extra ``otel``).

It is off unless a session is instrumented:

```python
from iottly_async.integrations.otel import instrumented

async with IottlySession() as session:
    project = instrumented(session).project("59c19cacecc01400075f3bc9")
```

Only ``opentelemetry-api`` is needed. The program's own OpenTelemetry set-up decides where
spans and metrics go; without one they are dropped.

Each call is one span, whatever number of attempts it takes. It has the name of the call
("messages.page"). A walk has one span a page. Spans and metrics hold no id, no name, no path
and no text of the service, and so never the key.

The attributes of a span:

- ``http.request.method``: GET, PUT or POST
- ``iottly.generation``: of the API, "v1.0" or "v1"
- ``iottly.command``: whether the call is a command to a device
- ``error.type``: the class of the error, or "CancelledError"
- ``iottly.sent``: of an error, whether the request was sent: "no", "maybe" or "yes"
- ``iottly.attempts``: of an error, the number of attempts
- ``iottly.request_id``: of an error of generation v1, the service's request id
- ``http.response.status_code``: of an error that is an answer of the service

The metrics:

- ``iottly.client.call.duration``: a histogram in seconds, by ``iottly.call`` and
  ``error.type``. Its count is the number of calls.
- ``iottly.client.quota.remaining``: a gauge, set after each call
- ``iottly.client.quota.waiting``: a gauge, set after each call
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
    """A view of a session whose calls are traced and measured.

    Calls through the session itself are not traced. Streams have no span, and neither has a
    pause between two calls, such as between two polls of a followed device.

    Example:
        ```python
        async with IottlySession() as session:
            traced = instrumented(session)
            await traced.ping()
        ```

    Args:
        session: a session, or a view of one (`IottlySession.with_options`).
        tracer_provider: makes the spans. None, the default, is the program's global
            provider.
        meter_provider: makes the metrics. None, the default, is the program's global
            provider.

    Returns:
        A view of the session; closing it closes nothing.
    """
    tracer = get_tracer(_NAME, __version__, tracer_provider)
    meter = get_meter(_NAME, __version__, meter_provider)
    return session.with_options(observer=_Observer(session, tracer, meter))


class _Observer:
    """Makes the span and the metrics of each call."""

    def __init__(self, session: IottlySession, tracer: Tracer, meter: Meter) -> None:
        self._session = session
        self._tracer = tracer
        self._duration = meter.create_histogram(
            "iottly.client.call.duration", "s", "Duration of a call, including the wait for quota"
        )
        self._remaining = meter.create_gauge(
            "iottly.client.quota.remaining",
            "{request}",
            "Requests left in this window",
        )
        self._waiting = meter.create_gauge(
            "iottly.client.quota.waiting", "{call}", "Calls that wait for quota"
        )

    @contextmanager
    def __call__(self, route: Route) -> Iterator[None]:
        dimensions = {"iottly.call": route.name}
        started = time.perf_counter()
        with self._tracer.start_as_current_span(
            route.name,
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": route.method,
                "iottly.generation": route.generation,
                "iottly.command": route.command,
            },
            # A stack trace with error texts may hold ids, which must not be exported.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except (IottlyError, asyncio.CancelledError) as error:
                dimensions["error.type"] = type(error).__name__
                _set_error(span, error)
                raise
            finally:
                self._duration.record(time.perf_counter() - started, dimensions)
                self._record_quota()

    def _record_quota(self) -> None:
        quota = self._session.quota
        self._waiting.set(quota.waiting)
        if quota.remaining is not None:
            self._remaining.set(quota.remaining)


def _set_error(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, IottlyError):
        return  # A cancelled call has not failed.
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    attributes = {
        "http.response.status_code": error.status,
        "iottly.attempts": error.attempts,
        "iottly.request_id": error.request_id,
        "iottly.sent": error.sent,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
