"""The fixtures of the stream tests: an emulated fleet, and a session on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from iottly_async import IottlySession
from iottly_async.emulator import Emulator

from .helpers import session_on


@pytest.fixture
async def fleet() -> AsyncIterator[Emulator]:
    """An emulator with two devices and no messages."""
    async with Emulator(devices=2, messages=0) as emulator:
        yield emulator


@pytest.fixture
async def live(fleet: Emulator) -> AsyncIterator[IottlySession]:
    """A session on that emulator."""
    async with session_on(fleet) as session:
        yield session
