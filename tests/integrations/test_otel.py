"""Spans and metrics: one span an attempt, with its attributes, and never the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import frozen
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from iottly_async import (
    Config,
    ConnectionLostError,
    Hooks,
    IottlySession,
    NotFoundError,
    RateLimiter,
    UnauthorizedError,
)
from iottly_async.emulator import Emulator
from iottly_async.integrations.otel import instrumented
from tests.support.canary import CANARY, shows_key

PING = "GET /v1.0/project/ping"
PAGE = "GET /v1.0/project/{project}/device/{device}/messages/paginated"


@frozen
class Exported:
    """The exported spans and metrics, and the providers."""

    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader
    tracer: TracerProvider
    meter: MeterProvider

    def only(self) -> ReadableSpan:
        """The only span."""
        (span,) = self.spans.get_finished_spans()
        return span

    def points(self) -> dict[str, list[Any]]:
        """The data points of each metric."""
        data = self.metrics.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def exported() -> Exported:
    """Providers that export into memory."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    return Exported(spans, reader, tracer, MeterProvider([reader]))


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator with a quota, and with the canary as its key."""
    async with Emulator(devices=1, messages=250, api_keys=(CANARY,), rate_limit=600) as emulator:
        yield emulator


@pytest.fixture
async def plain(emulator: Emulator) -> AsyncIterator[IottlySession]:
    """A session that is not instrumented."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
        yield session


@pytest.fixture
def session(plain: IottlySession, exported: Exported) -> IottlySession:
    """An instrumented view of that session."""
    return instrumented(plain, tracer_provider=exported.tracer, meter_provider=exported.meter)


async def test_an_attempt_is_a_span(
    session: IottlySession, emulator: Emulator, exported: Exported
) -> None:
    """It has the route as its name, the kind "client", and the attributes of an HTTP client."""
    await session.project(emulator.project_id).inspect()
    span = exported.only()
    assert (span.name, span.kind) == ("GET /v1.0/project/{project}/inspect", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": urlsplit(emulator.base_url).port,
        "url.template": "/v1.0/project/{project}/inspect",
    }


async def test_an_error_sets_attributes(session: IottlySession, exported: Exported) -> None:
    """Its status is set; text and stack trace are not."""
    with pytest.raises(NotFoundError):
        await session.devices.get("dev_none")
    span = exported.only()
    attributes = dict(span.attributes or {})
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert (attributes["error.type"], attributes["http.response.status_code"]) == ("404", 404)
    assert not span.events


async def test_an_attempt_without_an_answer_names_its_error(
    session: IottlySession, emulator: Emulator, exported: Exported
) -> None:
    """The error's class is set, and no status."""
    emulator.fault("reset", count=None)
    with pytest.raises(ConnectionLostError):
        await session.ping()
    attributes = dict(exported.spans.get_finished_spans()[0].attributes or {})
    assert attributes["error.type"] == "ConnectionLostError"
    assert "http.response.status_code" not in attributes


async def test_each_attempt_of_a_call_has_its_span(
    session: IottlySession, emulator: Emulator, exported: Exported
) -> None:
    """A span after the first tells how many attempts were before it."""
    emulator.fault("status", status=503, headers={"Retry-After": "0"}, count=2)
    await session.ping()
    resent = [
        ((span.attributes or {}).get("http.request.resend_count"), span.status.status_code)
        for span in exported.spans.get_finished_spans()
    ]
    assert resent == [(None, StatusCode.ERROR), (1, StatusCode.ERROR), (2, StatusCode.UNSET)]


async def test_a_cancelled_call_is_no_error(
    session: IottlySession, emulator: Emulator, exported: Exported
) -> None:
    """Its span has the error type "CancelledError" and no error status."""
    emulator.fault("stall")
    call = asyncio.create_task(session.ping())
    await emulator.until_requests(1)
    call.cancel()
    await asyncio.wait([call])
    emulator.release()
    span = exported.only()
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_walk_has_one_span_a_page(
    session: IottlySession, emulator: Emulator, exported: Exported
) -> None:
    """A walk over 250 messages has three."""
    messages = session.project(emulator.project_id).messages
    assert len([one async for one in messages.walk(emulator.device_ids[0])]) == 250
    assert [span.name for span in exported.spans.get_finished_spans()] == [PAGE] * 3


async def test_opening_a_stream_is_a_span(session: IottlySession, exported: Exported) -> None:
    """The request that opens a stream's connection is a span, which ends as it is open."""
    async with session.stream() as stream:
        await stream.until_connected()
        span = exported.only()
    assert span.name == "GET /v1/stream"
    assert (span.attributes or {})["http.response.status_code"] == 101


async def test_durations_and_the_quota_are_metrics(
    session: IottlySession, exported: Exported
) -> None:
    """Durations are a histogram by call and error; the remaining quota is a gauge."""
    await session.ping()
    await session.ping()
    with pytest.raises(NotFoundError):
        await session.devices.get("dev_none")
    points = exported.points()
    durations = {
        (point.attributes["iottly.call"], point.attributes.get("error.type")): point.count
        for point in points["iottly.client.call.duration"]
    }
    assert durations == {(PING, None): 2, ("GET /v1/devices/{device}", "NotFoundError"): 1}
    assert points["iottly.client.quota.remaining"][0].value == session.quota.remaining
    assert points["iottly.client.quota.waiting"][0].value == 0


async def test_a_span_has_the_callers_span_as_parent(
    session: IottlySession, exported: Exported
) -> None:
    """A call belongs to the trace of the code that makes it."""
    with exported.tracer.get_tracer("test").start_as_current_span("outer") as outer:
        await session.ping()
    span = exported.spans.get_finished_spans()[0]
    assert span.parent is not None
    assert span.parent.span_id == outer.get_span_context().span_id


async def test_only_the_instrumented_view_is_traced(
    plain: IottlySession, exported: Exported
) -> None:
    """The session itself is not traced, and a view of the view is."""
    view = instrumented(plain, tracer_provider=exported.tracer, meter_provider=exported.meter)
    await plain.ping()
    assert not exported.spans.get_finished_spans()
    await view.with_options(timeout=5).ping()
    assert exported.only().name == PING


async def test_hooks_of_the_session_are_called_too(emulator: Emulator, exported: Exported) -> None:
    """An instrumented view calls the session's own hooks as before."""
    statuses: list[int | None] = []
    hooks = Hooks(response=lambda event: statuses.append(event.status))
    config = Config(base_url=emulator.base_url)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter(), hooks=hooks) as session:
        await instrumented(session, tracer_provider=exported.tracer).ping()
    assert statuses == [200]
    assert exported.only().name == PING


async def test_no_span_and_no_metric_holds_the_key(
    session: IottlySession, emulator: Emulator, exported: Exported
) -> None:
    """The key is not exported, also if the service repeats it in an error."""
    body = {"error": {"code": CANARY, "message": f"no such key: {CANARY}", "request_id": CANARY}}
    emulator.fault("status", status=401, body=body)
    with pytest.raises(UnauthorizedError):
        await session.devices.get("dev_1")
    await session.ping()
    texts = [span.to_json() for span in exported.spans.get_finished_spans()]
    assert len(texts) == 2
    assert not shows_key(f"{texts} {exported.points()}")
