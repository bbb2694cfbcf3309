"""The OpenTelemetry integration: spans and metrics of calls (extra ``otel``).

It is off unless a session is instrumented:

```python
from iottly_async.integrations.otel import instrumented

async with IottlySession() as session:
    project = instrumented(session).project("59c19cacecc01400075f3bc9")
```

Only ``opentelemetry-api`` is needed. The program's own OpenTelemetry set-up decides where
spans and metrics go; without one they are dropped. With
``opentelemetry-instrumentation-aiohttp-client`` in the same program, its span of a request is
within the attempt's.

Each attempt of a call is one span of kind "client", as OpenTelemetry's conventions for HTTP
clients have it. Its name is method and path without ids, such as
"GET /v1.0/project/{project}/inspect". A walk has one span a page. Spans and metrics hold no id,
no address with an id, and no text of the service, and so never the key.

The attributes of a span:

- ``http.request.method``: GET, PUT or POST
- ``url.template``: the path without ids
- ``server.address`` and ``server.port``: of `Config.base_url`
- ``http.request.resend_count``: of a second or later attempt, the number of those before it
- ``http.response.status_code``: of the answer, if one arrived
- ``error.type``: an error's status; the class of the error if no answer arrived, or
  "CancelledError"

The metrics:

- ``iottly.client.call.duration``: a histogram in seconds, by ``iottly.call`` (a span's name) and
  ``error.type`` (the class of the error). A call has one value, whatever number of attempts it
  takes, and its waits are in it.
- ``iottly.client.quota.remaining``: a gauge, set after each call
- ``iottly.client.quota.waiting``: a gauge, set after each call
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TypeAlias
from urllib.parse import urlsplit

try:
    from opentelemetry.context import Context, attach, detach
    from opentelemetry.metrics import Meter, MeterProvider, get_meter
    from opentelemetry.trace import (
        Span,
        SpanKind,
        Status,
        StatusCode,
        Tracer,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )
except ImportError as error:
    raise ImportError(
        "iottly_async.integrations.otel needs the extra otel: pip install 'iottly-async[otel]'"
    ) from error

from .._version import __version__
from ..pipeline import CallEvent, Hooks, RequestEvent, ResponseEvent
from ..session import IottlySession

_NAME = "iottly_async"


def instrumented(
    session: IottlySession,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> IottlySession:
    """A view of a session whose calls are traced and measured.

    Calls through the session itself are not traced. Of a stream, the request that opens a
    connection is a span. A pause between two calls, such as between two polls of a followed
    device, has none. The hooks of the session are called as before.

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
    tracing = _Tracing(get_tracer(_NAME, __version__, tracer_provider), session.config.base_url)
    metrics = _Metrics(session, get_meter(_NAME, __version__, meter_provider))
    hooks = Hooks(request=tracing.begin, response=tracing.end, call=metrics.record)
    return session.with_options(hooks=hooks)


_OpenSpan: TypeAlias = tuple[Span, Token[Context]]


class _Tracing:
    """Makes the span of each attempt.

    The two hooks of an attempt are called in one task, so a context variable holds its span.
    """

    def __init__(self, tracer: Tracer, base_url: str) -> None:
        self._tracer = tracer
        url = urlsplit(base_url)
        self._server: dict[str, str | int] = {
            "server.address": url.hostname or "",
            "server.port": url.port or (443 if url.scheme == "https" else 80),
        }
        self._open: ContextVar[_OpenSpan | None] = ContextVar("iottly_async_span", default=None)

    def begin(self, event: RequestEvent) -> None:
        """Start the span of an attempt, and make it the current one."""
        method, _, path = event.route.partition(" ")
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.template": path,
            **self._server,
        }
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        span = self._tracer.start_span(event.route, kind=SpanKind.CLIENT, attributes=attributes)
        self._open.set((span, attach(set_span_in_context(span))))

    def end(self, event: ResponseEvent) -> None:
        """End the span of the attempt."""
        opened = self._open.get()
        if opened is None:
            return
        self._open.set(None)
        span, token = opened
        detach(token)
        failure = event.error
        if event.status is not None:
            span.set_attribute("http.response.status_code", event.status)
            failure = str(event.status) if event.status >= 400 else None
        if failure is not None:
            span.set_attribute("error.type", failure)
            if failure != "CancelledError":  # a cancelled call has not failed
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class _Metrics:
    """Records the metrics of each call."""

    def __init__(self, session: IottlySession, meter: Meter) -> None:
        self._session = session
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

    def record(self, event: CallEvent) -> None:
        """Record a call that has ended."""
        dimensions = {"iottly.call": event.route}
        if event.error is not None:
            dimensions["error.type"] = event.error
        self._duration.record(event.seconds, dimensions)
        quota = self._session.quota
        self._waiting.set(quota.waiting)
        if quota.remaining is not None:
            self._remaining.set(quota.remaining)
