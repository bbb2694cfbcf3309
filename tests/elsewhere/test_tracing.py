"""OpenTelemetry's own instrumentation of aiohttp, alone and beside the library's integration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from iottly_async import Config, IottlySession, RateLimiter, RetryPolicy
from iottly_async.emulator import Emulator
from iottly_async.integrations.otel import instrumented
from tests.support.canary import CANARY

OURS = "iottly_async"
PAGE = "GET /v1.0/project/{project}/device/{device}/messages/paginated"


class Traces:
    """A tracer provider, the spans that ended, and OpenTelemetry's instrumentation.

    Attributes:
        provider: of both tools.
        instrumentor: of aiohttp's client; off at first.
    """

    def __init__(self, instrumentor: Any) -> None:
        self.instrumentor = instrumentor
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def start(self) -> None:
        """Instrument aiohttp."""
        self.instrumentor.instrument(tracer_provider=self.provider)

    def taken(self) -> tuple[list[ReadableSpan], list[ReadableSpan]]:
        """The library's spans and the instrumentation's, since the last time."""
        spans: Sequence[ReadableSpan] = self._exporter.get_finished_spans()
        self._exporter.clear()
        assert CANARY not in "".join(span.to_json() for span in spans)
        own = [span for span in spans if scope_of(span) == OURS]
        return own, [span for span in spans if scope_of(span) != OURS]


def scope_of(span: ReadableSpan) -> str:
    """The name of the library that made a span."""
    assert span.instrumentation_scope is not None
    return span.instrumentation_scope.name


@pytest.fixture
def traces() -> Iterator[Traces]:
    """OpenTelemetry's instrumentation of aiohttp; it is taken out again."""
    tool = pytest.importorskip(
        "opentelemetry.instrumentation.aiohttp_client",
        reason="pip install opentelemetry-instrumentation-aiohttp-client",
    )
    traces = Traces(tool.AioHttpClientInstrumentor())
    yield traces
    traces.instrumentor.uninstrument()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator that accepts the canary."""
    async with Emulator(devices=1, messages=250, api_keys=(CANARY,)) as emulator:
        yield emulator


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[IottlySession]:
    """A session that is open before anything is instrumented."""
    retry = RetryPolicy(max_attempts=2, initial_delay=0.001, max_delay=0.001)
    config = Config(base_url=emulator.base_url, retry=retry)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
        await session.ping()
        yield session


async def use(session: IottlySession, emulator: Emulator) -> None:
    """A read that fails once, a command, and a walk of three pages."""
    emulator.fault("status", status=503, route="ping")
    await session.ping()
    await session.commands.send(emulator.fleet_ids[0], "uptime")
    messages = session.project(emulator.project_id).messages
    assert len([_ async for _ in messages.walk(emulator.device_ids[0])]) == 250


async def test_each_request_has_one_span(
    traces: Traces, session: IottlySession, emulator: Emulator
) -> None:
    """The instrumentation alone sees each request once, also of a session that is open already."""
    traces.start()
    emulator.forget_requests()
    await use(session, emulator)
    own, others = traces.taken()
    assert own == []
    assert len(others) == len(emulator.requests) == 6
    traces.instrumentor.uninstrument()
    await session.ping()
    assert traces.taken() == ([], [])


async def test_the_spans_of_both_nest(
    traces: Traces, session: IottlySession, emulator: Emulator
) -> None:
    """Beside the integration, each request has a span of each, one within the other."""
    traces.start()
    emulator.forget_requests()
    await use(instrumented(session, tracer_provider=traces.provider), emulator)
    own, others = traces.taken()
    assert len(own) == len(others) == len(emulator.requests) == 6
    outer = {span.context.span_id: span for span in own}
    parents = [span.parent.span_id for span in others if span.parent is not None]
    assert sorted(parents) == sorted(outer)
    assert [span.name for span in own].count(PAGE) == 3
    for span in others:
        assert span.parent is not None
        around = outer[span.parent.span_id]
        assert around.context.trace_id == span.context.trace_id


async def test_within_a_span_of_the_program(
    traces: Traces, session: IottlySession, emulator: Emulator
) -> None:
    """The spans of both belong to the trace of the program's own span."""
    traces.start()
    tracer = traces.provider.get_tracer("program")
    with tracer.start_as_current_span("work") as work:
        await instrumented(session, tracer_provider=traces.provider).ping()
    (own,), others = traces.taken()
    assert {span.name for span in others} == {"work", "GET"}
    assert own.parent is not None
    assert own.parent.span_id == work.get_span_context().span_id
