"""Walks and followers wait out failures of the service that pass (D18)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from math import inf
from typing import Any

import pytest

from iottly_async import (
    Config,
    ConfigurationError,
    DevicesFailedError,
    IottlyError,
    IottlySession,
    Message,
    RateLimiter,
    ServerError,
)
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages
from tests.support.virtual_time import run_virtual

Walk = Callable[[Messages, Emulator, dict[str, Any]], AsyncGenerator[Message, None]]

WALKS: dict[str, Walk] = {
    "one": lambda messages, emulator, how: messages.walk(emulator.device_ids[0], **how),
    "ordered": lambda messages, emulator, how: messages.walk(
        emulator.device_ids[0], concurrency=8, **how
    ),
    "many": lambda messages, _, how: messages.walk_many(**how),
}

each_walk = pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)


def session_on(emulator: Emulator, **settings: Any) -> IottlySession:
    """A session on an emulator, with a limiter of its own."""
    config = Config(base_url=emulator.base_url, **settings)
    return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())


@each_walk
def test_an_outage_of_a_minute_loses_nothing(walk: Walk) -> None:
    """With the default settings, a walk in whose midst the service is away for a minute has every
    message once, soon after the service is back."""

    async def main() -> None:
        async with (
            Emulator(devices=1, messages=2000) as emulator,
            session_on(emulator) as session,
        ):
            loop, found = asyncio.get_running_loop(), Counter[str]()
            messages = session.project(emulator.project_id).messages
            back = inf
            async for message in walk(messages, emulator, {}):
                found[message.key] += 1
                if back == inf:
                    emulator.outage("html", seconds=60)
                    back = loop.time() + 60
            assert len(found) == found.total() == len(emulator.stored(emulator.device_ids[0]))
            assert loop.time() < back + 16

    run_virtual(main, listens=True)


@pytest.mark.parametrize("how", [{}, {"patience": 20}, {"patience": timedelta(seconds=20)}])
@each_walk
def test_patience_ends(walk: Walk, how: dict[str, Any]) -> None:
    """A service that stays away ends the walk with its own error, after the patience of the walk
    or of the settings."""

    async def main() -> None:
        async with (
            Emulator(devices=1, messages=2000) as emulator,
            session_on(emulator, patience=60) as session,
        ):
            loop = asyncio.get_running_loop()
            messages = session.project(emulator.project_id).messages
            found = walk(messages, emulator, how)
            await anext(found)
            emulator.outage("html", status=504)
            begun = loop.time()
            with pytest.raises(IottlyError) as caught:
                async for _ in found:
                    pass
            error = caught.value
            if isinstance(error, DevicesFailedError):
                (failure,) = error.failures.values()
                error = failure.error
            assert isinstance(error, ServerError)
            assert error.status == 504
            least = 20 if how else 60
            assert least - 16 < loop.time() - begun <= least + 1

    run_virtual(main, listens=True)


@each_walk
def test_without_patience_the_retries_of_a_call_decide(walk: Walk) -> None:
    """`patience=0` fails after the ordinary retries."""

    async def main() -> None:
        async with (
            Emulator(devices=1, messages=2000) as emulator,
            session_on(emulator) as session,
        ):
            messages = session.project(emulator.project_id).messages
            found = walk(messages, emulator, {"patience": 0})
            await anext(found)
            emulator.outage("html")
            begun = asyncio.get_running_loop().time()
            with pytest.raises((ServerError, DevicesFailedError)):
                async for _ in found:
                    pass
            assert asyncio.get_running_loop().time() - begun < 2

    run_virtual(main, listens=True)


def test_the_devices_are_listed_patiently() -> None:
    """A walk over all devices that begins in an outage waits for their list."""

    async def main() -> None:
        async with (
            Emulator(devices=3, messages=50) as emulator,
            session_on(emulator) as session,
        ):
            emulator.outage("refuse", seconds=30)
            messages = session.project(emulator.project_id).messages
            found = [message async for message in messages.walk_many()]
            assert len(found) == sum(len(emulator.stored(each)) for each in emulator.device_ids)

    run_virtual(main, listens=True)


def test_a_follower_waits_without_end() -> None:
    """A service that is away for an hour, longer than any walk's patience, delays messages."""

    async def main() -> None:
        async with (
            Emulator(devices=2, messages=0) as emulator,
            session_on(emulator, patience=1) as session,
        ):
            messages = session.project(emulator.project_id).messages
            follow = messages.follow_many(start=emulator.clock.now(), settle=0)
            async with aclosing(follow):
                emulator.append(emulator.device_ids[0], 1)
                emulator.clock.advance(1)
                first = await anext(follow)
                assert len(first.messages) == 1
                emulator.outage("html", seconds=3600)
                emulator.append(emulator.device_ids[1], 2)
                emulator.clock.advance(1)
                assert len((await anext(follow)).messages) == 2

    run_virtual(main, listens=True)


@pytest.mark.parametrize("wrong", [-1, "soon", True, float("nan")])
async def test_what_is_no_patience_is_refused(wrong: Any) -> None:
    """A negative number and what is no number of seconds are refused by the call itself."""
    async with IottlySession("key", limiter=RateLimiter()) as session:
        project = session.project("p1")
        with pytest.raises(ConfigurationError, match="patience"):
            project.messages.batches("d1", patience=wrong)
        with pytest.raises(ConfigurationError, match="patience"):
            project.messages.batches_many(["d1"], patience=wrong)
        with pytest.raises(ConfigurationError, match="patience"):
            await project.devices.list(patience=wrong)
