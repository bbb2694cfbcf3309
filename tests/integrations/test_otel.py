"""Spans and metrics: one for each call, with its facts, and nothing that is secret in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

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
    ConfigurationError,
    IottlySession,
    NotFoundError,
    RateLimiter,
    ServerError,
    UnauthorizedError,
)
from iottly_async.emulator import Emulator
from iottly_async.integrations.otel import instrumented
from tests.support.canary import CANARY, shows_key


@frozen
class Told:
    """What was exported."""

    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader
    tracer: TracerProvider
    meter: MeterProvider

    def only(self) -> ReadableSpan:
        """The one span there is."""
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
def told() -> Told:
    """Providers that keep what they are told."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    return Told(spans, reader, tracer, MeterProvider([reader]))


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A fleet with a quota, for the canary."""
    async with Emulator(devices=1, messages=250, api_keys=(CANARY,), rate_limit=600) as emulator:
        yield emulator


@pytest.fixture
async def plain(emulator: Emulator) -> AsyncIterator[IottlySession]:
    """A session that nobody instrumented."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
        yield session


@pytest.fixture
def session(plain: IottlySession, told: Told) -> IottlySession:
    """The view of it that is."""
    return instrumented(plain, tracer_provider=told.tracer, meter_provider=told.meter)


async def test_a_call_is_a_span(session: IottlySession, emulator: Emulator, told: Told) -> None:
    """It is named by the call, is a client's, and tells method and generation."""
    await session.project(emulator.project_id).inspect()
    span = told.only()
    assert (span.name, span.kind) == ("project.inspect", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "iottly.generation": "v1.0",
        "iottly.command": False,
    }


async def test_an_error_tells_its_facts(session: IottlySession, told: Told) -> None:
    """Class, status, attempts and request id; not the error's text, nor its stack."""
    with pytest.raises(NotFoundError) as caught:
        await session.devices.get("dev_none")
    span = told.only()
    attributes = dict(span.attributes or {})
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == attributes["error.type"] == "NotFoundError"
    assert attributes["http.response.status_code"] == 404
    assert attributes["iottly.request_id"] == caught.value.request_id
    assert (attributes["iottly.sent"], attributes["iottly.attempts"]) == ("yes", 1)
    assert not span.events


async def test_retries_are_within_the_one_span(
    session: IottlySession, emulator: Emulator, told: Told
) -> None:
    """A call has one span, however often it is tried."""
    emulator.fault("status", status=503, headers={"Retry-After": "0"}, count=2)
    await session.ping()
    assert told.only().name == "ping"
    emulator.fault("status", status=503, headers={"Retry-After": "0"}, count=None)
    with pytest.raises(ServerError):
        await session.ping()
    last = told.spans.get_finished_spans()[-1]
    assert (last.attributes or {})["iottly.attempts"] == session.config.retry.max_attempts


async def test_a_cancelled_call_is_no_error(
    session: IottlySession, emulator: Emulator, told: Told
) -> None:
    """A span that was cancelled says so, and is not counted as a failure."""
    emulator.fault("stall")
    call = asyncio.create_task(session.ping())
    await emulator.until_requests(1)
    call.cancel()
    await asyncio.wait([call])
    emulator.release()
    span = told.only()
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_walk_has_a_span_a_page(
    session: IottlySession, emulator: Emulator, told: Told
) -> None:
    """250 messages are three pages."""
    messages = session.project(emulator.project_id).messages
    assert len([one async for one in messages.walk(emulator.device_ids[0])]) == 250
    assert [span.name for span in told.spans.get_finished_spans()] == ["messages.page"] * 3


async def test_durations_and_the_quota_are_metrics(session: IottlySession, told: Told) -> None:
    """A histogram by call and error, and how much of the quota is left."""
    await session.ping()
    await session.ping()
    with pytest.raises(NotFoundError):
        await session.devices.get("dev_none")
    points = told.points()
    durations = {
        (point.attributes["iottly.call"], point.attributes.get("error.type")): point.count
        for point in points["iottly.client.call.duration"]
    }
    assert durations == {("ping", None): 2, ("fleet.devices.get", "NotFoundError"): 1}
    assert points["iottly.client.quota.remaining"][0].value == session.quota.remaining
    assert points["iottly.client.quota.waiting"][0].value == 0


async def test_a_span_is_the_child_of_the_callers(session: IottlySession, told: Told) -> None:
    """The caller's own span is the parent, so that a request's trace holds together."""
    with told.tracer.get_tracer("test").start_as_current_span("outer") as outer:
        await session.ping()
    span = told.spans.get_finished_spans()[0]
    assert span.parent is not None
    assert span.parent.span_id == outer.get_span_context().span_id


async def test_it_is_off_unless_asked_for(plain: IottlySession, told: Told) -> None:
    """The session beside an instrumented view tells nothing; a view of the view does."""
    view = instrumented(plain, tracer_provider=told.tracer, meter_provider=told.meter)
    await plain.ping()
    assert not told.spans.get_finished_spans()
    await view.with_options(timeout=5).ping()
    assert told.only().name == "ping"


async def test_an_observer_that_cannot_be_called_is_refused(plain: IottlySession) -> None:
    """The argument is named, and what it must be."""
    with pytest.raises(ConfigurationError, match="observer must be callable with a Route"):
        plain.with_options(observer=cast(Any, 5))


async def test_the_key_is_in_none_of_it(
    session: IottlySession, emulator: Emulator, told: Told
) -> None:
    """Neither span nor metric shows the key, also where the service repeats it."""
    body = {"error": {"code": CANARY, "message": f"no such key: {CANARY}", "request_id": CANARY}}
    emulator.fault("status", status=401, body=body)
    with pytest.raises(UnauthorizedError):
        await session.devices.get("dev_1")
    await session.ping()
    exported = [span.to_json() for span in told.spans.get_finished_spans()]
    assert len(exported) == 2
    assert not shows_key(f"{exported} {told.points()}")
