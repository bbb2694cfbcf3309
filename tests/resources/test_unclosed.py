"""A session that nobody closed says so, in its own words; every other one is silent."""

from __future__ import annotations

import gc
import warnings

import aiohttp
import pytest

from iottly_async import Config, ConfigurationError, IottlySession, RateLimiter
from iottly_async.emulator import Emulator


def made(emulator: Emulator, http: aiohttp.ClientSession) -> IottlySession:
    """A session over connections that are closed elsewhere, and say nothing of their own."""
    config = Config(base_url=emulator.base_url)
    return IottlySession(emulator.api_key, config=config, http=http, limiter=RateLimiter())


def told_of_collecting() -> list[str]:
    """What is warned of while what nobody holds is collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    return [f"{warning.category.__name__}: {warning.message}" for warning in caught]


async def test_one_that_was_used_and_not_closed_says_so(emulator: Emulator) -> None:
    """When it is collected, and with what is to be done."""
    async with aiohttp.ClientSession() as http:
        session = made(emulator, http)
        await session.ping()
        del session
        (told,) = told_of_collecting()
    assert told == (
        f"ResourceWarning: unclosed <IottlySession {emulator.base_url}>; "
        "use `async with`, or await aclose()"
    )


async def test_one_that_was_closed_is_silent(emulator: Emulator) -> None:
    """Whichever way, and after it was used."""
    async with aiohttp.ClientSession() as http:
        async with made(emulator, http) as session:
            await session.ping()
        del session
        session = made(emulator, http)
        await session.ping()
        await session.aclose()
        del session
        assert told_of_collecting() == []


async def test_one_that_was_never_used_is_silent(emulator: Emulator) -> None:
    """It has opened nothing."""
    async with aiohttp.ClientSession() as http:
        session = made(emulator, http)
        del session
        assert told_of_collecting() == []


async def test_a_view_is_silent(emulator: Emulator) -> None:
    """The session that it is of is closed for it."""
    async with aiohttp.ClientSession() as http, made(emulator, http) as session:
        view = session.with_options(timeout=5)
        await view.ping()
        del view
        assert told_of_collecting() == []


@pytest.mark.parametrize("key", ["", "with space"])
async def test_one_that_could_not_be_made_is_silent(key: str) -> None:
    """The error is told, and nothing masks it."""
    with pytest.raises(ConfigurationError):
        IottlySession(key)
    assert told_of_collecting() == []
