"""A session that was used and not closed warns when it is collected; no other one warns."""

from __future__ import annotations

import gc
import warnings

import aiohttp
import pytest

from iottly_async import Config, ConfigurationError, IottlySession, RateLimiter
from iottly_async.emulator import Emulator


def made(emulator: Emulator, http: aiohttp.ClientSession) -> IottlySession:
    """A session over an `aiohttp.ClientSession` that is closed elsewhere."""
    config = Config(base_url=emulator.base_url)
    return IottlySession(emulator.api_key, config=config, http=http, limiter=RateLimiter())


def warnings_of_collection() -> list[str]:
    """The warnings while unreferenced objects are collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    return [f"{warning.category.__name__}: {warning.message}" for warning in caught]


async def test_a_used_session_that_is_not_closed_warns(emulator: Emulator) -> None:
    """The warning comes when it is collected, and says what to do."""
    async with aiohttp.ClientSession() as http:
        session = made(emulator, http)
        await session.ping()
        del session
        (warning,) = warnings_of_collection()
    assert warning == (
        f"ResourceWarning: unclosed <IottlySession {emulator.base_url}>; "
        "use `async with`, or await aclose()"
    )


async def test_a_closed_session_does_not_warn(emulator: Emulator) -> None:
    """It may be closed by `async with` or by `aclose`."""
    async with aiohttp.ClientSession() as http:
        async with made(emulator, http) as session:
            await session.ping()
        del session
        session = made(emulator, http)
        await session.ping()
        await session.aclose()
        del session
        assert warnings_of_collection() == []


async def test_an_unused_session_does_not_warn(emulator: Emulator) -> None:
    """A session that was not used has opened no connection."""
    async with aiohttp.ClientSession() as http:
        session = made(emulator, http)
        del session
        assert warnings_of_collection() == []


async def test_a_view_does_not_warn(emulator: Emulator) -> None:
    """A view has no connections of its own."""
    async with aiohttp.ClientSession() as http, made(emulator, http) as session:
        view = session.with_options(timeout=5)
        await view.ping()
        del view
        assert warnings_of_collection() == []


@pytest.mark.parametrize("key", ["", "with space"])
async def test_a_session_that_could_not_be_created_does_not_warn(key: str) -> None:
    """A wrong key raises, and no warning follows."""
    with pytest.raises(ConfigurationError):
        IottlySession(key)
    assert warnings_of_collection() == []
