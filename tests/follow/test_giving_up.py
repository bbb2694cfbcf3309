"""Devices with lasting errors: each is given up alone, said aloud, and the others are followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from iottly_async import (
    Config,
    DeviceFailure,
    DevicesFailedError,
    FailureEvent,
    FollowPace,
    ForbiddenError,
    Hooks,
    IottlyError,
    IottlySession,
    MessageBatch,
    NotFoundError,
    RateLimiter,
    UnauthorizedError,
    UnstableTieOrderError,
)
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages
from tests.support.virtual_time import run_virtual

QUICK: dict[str, Any] = {"settle": 0, "pace": FollowPace(fastest=1, slowest=30)}

Test = Callable[["Fleet"], Awaitable[None]]


class Fleet:
    """An emulator with devices, their messages, and what was said of those that failed."""

    def __init__(self, emulator: Emulator, messages: Messages, events: list[FailureEvent]) -> None:
        self.emulator = emulator
        self.messages = messages
        self.events = events
        self.failed: dict[str, DeviceFailure] = {}

    def follow(self, **how: Any) -> AsyncGenerator[MessageBatch, None]:
        """Follow all devices from now on."""
        start = self.emulator.clock.now()
        return self.messages.follow_many(
            start=start, on_failure=self.failed.__setitem__, **QUICK, **how
        )

    def send(self, device: int, value: int) -> None:
        """Append a message with this number."""
        self.emulator.append(self.emulator.device_ids[device], [{"payload": {"n": value}}])
        self.emulator.clock.advance(1)

    def refuse(self, device: int, status: int, count: int | None = None) -> None:
        """Answer requests for a device's pages with an error of the API."""
        path = f"/v1.0/project/*/device/{self.emulator.device_ids[device]}/messages/paginated"
        self.emulator.fault("status", route=path, status=status, count=count)


def in_virtual_time(test: Test) -> Callable[[], None]:
    """Run a test with a fleet of three devices in virtual time."""

    def run() -> None:
        events: list[FailureEvent] = []

        async def main() -> None:
            async with Emulator(devices=3, messages=0) as emulator:
                config = Config(base_url=emulator.base_url)
                session = IottlySession(
                    emulator.api_key,
                    config=config,
                    limiter=RateLimiter(),
                    hooks=Hooks(failure=events.append),
                )
                async with session:
                    messages = session.project(emulator.project_id).messages
                    await test(Fleet(emulator, messages, events))

        run_virtual(main, listens=True)

    run.__doc__ = test.__doc__
    return run


async def numbers(follow: AsyncGenerator[MessageBatch, None], count: int) -> list[int]:
    """Take so many messages: their numbers."""
    found: list[int] = []
    while len(found) < count:
        found += [message.payload["n"] for message in (await anext(follow)).messages]
    return found


def test_one_device_ends_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """A device that the key may no longer read is given up once, in the log, to the hook and to
    the caller, with its cursor; the other two are followed on."""

    async def test(fleet: Fleet) -> None:
        async with aclosing(fleet.follow()) as follow:
            for device in range(3):
                fleet.send(device, device)
            assert sorted(await numbers(follow, 3)) == [0, 1, 2]
            fleet.refuse(1, 403)
            for device in range(3):
                fleet.send(device, 10 + device)
            assert sorted(await numbers(follow, 2)) == [10, 12]
            fleet.send(0, 20)
            fleet.send(2, 22)
            assert sorted(await numbers(follow, 2)) == [20, 22]
        gone = fleet.emulator.device_ids[1]
        assert [*fleet.failed] == [gone]
        failure = fleet.failed[gone]
        assert isinstance(failure.error, ForbiddenError)
        assert failure.cursor.count == 1
        route = "GET /v1.0/project/{project}/device/{device}/messages/paginated"
        assert fleet.events == [FailureEvent(route, 403, "ForbiddenError")]
        said = [record for record in caplog.records if record.name == "iottly_async.follow"]
        assert [(record.levelno, gone in record.getMessage()) for record in said] == [
            (logging.WARNING, True)
        ]

    in_virtual_time(test)()


@in_virtual_time
async def test_when_none_is_left_the_errors_are_raised(fleet: Fleet) -> None:
    """The last device that fails ends following, with the errors of all."""
    async with aclosing(fleet.follow()) as follow:
        fleet.send(0, 1)
        assert await numbers(follow, 1) == [1]
        fleet.refuse(0, 403)
        fleet.refuse(1, 400)
        fleet.refuse(2, 409)
        with pytest.raises(DevicesFailedError) as caught:
            await anext(follow)
    failures = caught.value.failures
    assert set(failures) == set(fleet.emulator.device_ids)
    assert failures[fleet.emulator.device_ids[0]].cursor.count == 1


@in_virtual_time
async def test_a_device_that_was_given_up_may_be_polled_again(fleet: Fleet) -> None:
    """With `again_after`, a device that was given up is looked at again after so long, and what
    it has sent meanwhile comes; one to which the key gives no access is not."""
    async with aclosing(fleet.follow(again_after=60)) as follow:
        for device in range(3):
            fleet.send(device, device)
        await numbers(follow, 3)
        fleet.refuse(0, 400, count=1)
        fleet.refuse(1, 403, count=1)
        fleet.send(0, 10)
        fleet.send(1, 11)
        assert await numbers(follow, 1) == [10]
        fleet.send(2, 22)
        assert await numbers(follow, 1) == [22]
    assert set(fleet.failed) == set(fleet.emulator.device_ids[:2])
    assert fleet.emulator.requests


@in_virtual_time
async def test_one_device_alone_is_raised_as_itself(fleet: Fleet) -> None:
    """`follow` of one device raises the device's own error, and no group."""
    device = fleet.emulator.device_ids[0]
    start = fleet.emulator.clock.now()
    fleet.refuse(0, 403)
    with pytest.raises(ForbiddenError):
        await anext(fleet.messages.follow(device, start=start, **QUICK))
    assert fleet.events == []


@in_virtual_time
async def test_a_refused_key_ends_all(fleet: Fleet) -> None:
    """A 401 of one device is everybody's, and raised as itself."""
    async with aclosing(fleet.follow()) as follow:
        fleet.refuse(1, 401)
        fleet.send(0, 1)
        with pytest.raises(UnauthorizedError):
            await numbers(follow, 2)


@in_virtual_time
async def test_a_failed_list_of_devices_ends_nothing(fleet: Fleet) -> None:
    """If the devices cannot be listed again, those that are known are followed on."""
    async with aclosing(fleet.follow()) as follow:
        fleet.send(0, 1)
        await numbers(follow, 1)
        failing = fleet.emulator.fault("status", route="devices", status=404, count=2)
        while failing.injected < 2:
            await asyncio.sleep(20)
            fleet.send(1, 2)
            await numbers(follow, 1)
    fleet.emulator.fault("status", route="devices", status=404)
    with pytest.raises(NotFoundError):
        await anext(fleet.follow())


@in_virtual_time
async def test_a_history_that_is_away_for_ever_does_not_hold_a_device_for_ever(
    fleet: Fleet,
) -> None:
    """Identical messages of one millisecond need the history to be told apart. If it fails for as
    long as `Config.patience`, twice, while pages come, the device is given up with
    `UnstableTieOrderError`; the others are followed meanwhile and afterwards."""
    history = f"/v1.0/project/*/messages/{fleet.emulator.device_ids[0]}"
    fleet.emulator.fault("status", route=history, status=503, count=None)
    begun = asyncio.get_running_loop().time()
    async with aclosing(fleet.follow()) as follow:
        row = {"payload": {"n": 0}, "timestamp": fleet.emulator.clock.now()}
        fleet.emulator.append(fleet.emulator.device_ids[0], [row] * 250)
        fleet.emulator.clock.advance(1)
        for value in range(60):
            fleet.send(1, value)
            assert await numbers(follow, 1) == [value]
            if fleet.failed:
                break
            await asyncio.sleep(20)
        spent = asyncio.get_running_loop().time() - begun
        fleet.send(2, 2)
        assert await numbers(follow, 1) == [2]
    failure = fleet.failed[fleet.emulator.device_ids[0]]
    assert isinstance(failure.error, UnstableTieOrderError)
    assert "the history endpoint cannot be read" in str(failure.error)
    patience = Config().patience
    assert patience < spent < 2.5 * patience


@pytest.mark.parametrize("wrong", [{"again_after": -1}, {"empty": "yes"}])
async def test_what_is_refused(wrong: dict[str, Any]) -> None:
    """Wrong arguments are refused by the call itself."""
    async with IottlySession("key", limiter=RateLimiter()) as session:
        with pytest.raises(IottlyError):
            session.project("p1").messages.follow_many(["d1"], **wrong)
