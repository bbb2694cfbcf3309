"""Hooks: what they are called with, and that they can end no call and learn no secret."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from importlib import import_module
from math import inf
from typing import Any, cast

import attrs
import pytest

from iottly_async import (
    CallEvent,
    ConfigurationError,
    ConnectError,
    Hooks,
    IottlyError,
    IottlySession,
    OutageEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    WaitEvent,
)
from iottly_async.emulator import Emulator
from iottly_async.wire import Answer, Route
from tests.support.calls import session_on
from tests.support.canary import CANARY, shows_key
from tests.support.outages import OWN_ERROR, Service, answers, page, refused, with_service
from tests.support.virtual_time import settle

ROUTE = "GET /v1.0/project/{project}/device/{device}/messages/paginated"


def listening(events: list[Any]) -> Hooks:
    """Hooks that collect every event."""
    names = [field.name for field in attrs.fields(Hooks) if field.init]
    return Hooks(**dict.fromkeys(names, events.append))


def about(seconds: float, within: float = 1e-6) -> float:
    """A number of seconds that equals any other within some distance."""
    return cast(float, pytest.approx(seconds, abs=within))


def test_a_call_is_told_step_by_step() -> None:
    """Each attempt is a request and a response, with a retry between; the call's end comes last."""
    events: list[Any] = []

    async def use(session: IottlySession, _: Service) -> None:
        await session.call(page())

    with_service(use, (0.0, 0.01), failure=answers(503), latency=0.5, hooks=listening(events))
    retry = events[2]
    assert 0 < retry.seconds < 0.2
    assert events == [
        RequestEvent(ROUTE, 1),
        ResponseEvent(ROUTE, 1, 503, 0.0),
        RetryEvent(ROUTE, 1, 503, retry.seconds, "ServerError"),
        RequestEvent(ROUTE, 2),
        ResponseEvent(ROUTE, 2, 200, 0.5),
        CallEvent(ROUTE, 2, None, about(0.5 + retry.seconds)),
    ]


def test_an_attempt_without_an_answer_names_its_error() -> None:
    """A response without a status has the error's class, and so has the call."""
    events: list[Any] = []

    async def use(session: IottlySession, _: Service) -> None:
        with pytest.raises(ConnectError):
            await session.call(page())

    with_service(use, (0.0, inf), failure=refused, hooks=listening(events))
    responses = [event for event in events if isinstance(event, ResponseEvent)]
    assert responses == [ResponseEvent(ROUTE, n, None, 0.0, "ConnectError") for n in (1, 2, 3, 4)]
    assert (events[-1].attempts, events[-1].error) == (4, "ConnectError")


def test_a_cancelled_call_is_told_to_the_end() -> None:
    """Every request has its response event, also if the call is cancelled."""
    events: list[Any] = []

    async def use(session: IottlySession, _: Service) -> None:
        call = asyncio.create_task(session.call(page()))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait([call])

    with_service(use, latency=10.0, hooks=listening(events))
    assert events == [
        RequestEvent(ROUTE, 1),
        ResponseEvent(ROUTE, 1, None, about(0.1), "CancelledError"),
        CallEvent(ROUTE, 1, None, about(0.1), "CancelledError"),
    ]


def test_a_wait_for_quota_is_told_with_its_seconds() -> None:
    """A wait of more than a second is an event; a shorter one is not."""
    events: list[Any] = []

    async def use(session: IottlySession, service: Service) -> None:
        await session.call(page(), patience=0)  # is told of a spent quota
        await session.call(page(), patience=0)
        (wait,) = [event for event in events if isinstance(event, WaitEvent)]
        assert wait == WaitEvent(ROUTE, "quota", about(service.now, within=1.0))

    spent = answers(
        200, b"{}", x_ratelimit_limit="60", x_ratelimit_remaining="0", x_ratelimit_reset="42"
    )
    with_service(use, (0.0, 10.0), failure=spent, hooks=listening(events))


def test_an_outage_is_told_to_every_view_that_is_in_use() -> None:
    """It begins and ends once for the session's hooks and for those of each view."""
    own: list[Any] = []
    of_view: list[Any] = []
    of_former_view: list[Any] = []

    async def use(session: IottlySession, service: Service) -> None:
        view = session.with_options(hooks=Hooks(outage=of_view.append))
        session.with_options(hooks=Hooks(outage=of_former_view.append))
        gc.collect()
        calls = [asyncio.create_task(session.call(page(), patience=inf)) for _ in range(8)]
        await asyncio.gather(*calls)
        assert view.outage is None

    with_service(use, (0.0, 30.0), hooks=Hooks(outage=own.append))
    assert [(event.state, event.reason) for event in own] == [
        ("began", "ConnectError"),
        ("ended", "ConnectError"),
    ]
    assert own[1].seconds == pytest.approx(30.0, abs=16.0)
    assert own == of_view
    assert of_former_view == []
    assert isinstance(own[0], OutageEvent)


def test_a_view_adds_its_hooks() -> None:
    """The hooks of the session are called for a view's calls too; those of a view for no other."""
    own: list[Any] = []
    of_view: list[Any] = []

    async def use(session: IottlySession, _: Service) -> None:
        view = session.with_options(hooks=Hooks(request=of_view.append)).with_options(timeout=5)
        await view.call(page())
        await session.call(page())

    with_service(use, hooks=Hooks(request=own.append))
    assert (len(own), len(of_view)) == (2, 1)


def test_a_hook_that_raises_is_logged_once_and_ends_no_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call goes on, other hooks are called, and the log has the class of the error alone."""
    events: list[Any] = []

    def raises(event: object) -> None:
        events.append(event)
        raise RuntimeError(f"with a secret, {CANARY}")

    async def use(session: IottlySession, _: Service) -> None:
        view = session.with_options(hooks=listening(events))
        for _number in range(3):
            await view.call(page())

    caplog.set_level(logging.WARNING, "iottly_async")
    with_service(use, hooks=Hooks(request=raises, call=raises))
    assert len(events) == 3 * (2 + 3)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("RuntimeError" in line and not shows_key(line) for line in lines)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Hooks(request=cast(Any, "print")),
        lambda: IottlySession(CANARY, hooks=cast(Any, print)),
    ],
)
def test_what_is_no_hook_is_refused(wrong: Callable[[], object]) -> None:
    """The error names what it must be."""
    with pytest.raises(ConfigurationError, match=r"must be a (Hooks|function of one event)"):
        wrong()


def test_every_route_has_a_template() -> None:
    """Every route of the client names its path without an id."""
    routes = [
        value
        for room in ("resources.pages", "resources.project", "resources.fleet", "stream.protocol")
        for value in vars(import_module(f"iottly_async.{room}")).values()
        if isinstance(value, Route)
    ]
    assert len(routes) >= 14
    assert Route("ping", "GET", "v1.0", "project/ping").template == "GET /v1.0/project/ping"
    for route in routes:
        if not route.name.startswith("stream"):
            assert route.path, route.name


async def test_no_event_holds_the_key_an_id_or_a_body() -> None:
    """Whatever is called and whatever fails, events hold templates, numbers and classes."""
    events: list[Any] = []
    secrets = ("secret-project", "secret-device", "secret-license", "secret text")
    body = {"error": {"code": CANARY, "message": f"secret text {CANARY}", "request_id": CANARY}}
    async with (
        Emulator(devices=1, messages=1, api_keys=(CANARY,)) as emulator,
        session_on(emulator.base_url, hooks=listening(events), timeout=5.0) as session,
    ):
        project = session.project("secret-project")
        emulator.fault("status", status=503, body=body, count=None)
        calls: tuple[Coroutine[Any, Any, object], ...] = (
            session.ping(),
            session.devices.get("secret-device"),
            session.commands.send("secret-device", "uptime"),
            session.commands.get("secret-device"),
            project.inspect(),
            project.devices.get("secret-device"),
            project.devices.rename("secret-device", "secret text"),
            project.devices.list(),
            project.licenses.list(),
            project.licenses.get("secret-license"),
            project.commands.send("secret-device", "echo", {"a": "secret text"}),
            project.messages.recent("secret-device"),
        )
        for call in calls:
            with pytest.raises(IottlyError):
                await call
        await settle()
    assert {type(event) for event in events} >= {RequestEvent, ResponseEvent, RetryEvent, CallEvent}
    for event in events:
        text = repr(event)
        assert not shows_key(text)
        assert not any(secret in text for secret in secrets)


def test_a_good_answer_of_another_kind_is_told_by_its_status() -> None:
    """The status is that of the answer, whatever the codec makes of it."""
    statuses: list[int | None] = []

    async def use(session: IottlySession, _: Service) -> None:
        def read(_: Answer) -> None:
            raise RuntimeError

        request = page()
        request.read = cast(Any, read)
        with pytest.raises(RuntimeError):
            await session.call(request)

    hooks = Hooks(
        response=lambda event: statuses.append(event.status),
        call=lambda event: statuses.append(event.error == "RuntimeError"),
    )
    with_service(use, (0.0, inf), failure=answers(204, OWN_ERROR), hooks=hooks)
    assert statuses == [204, True]
