"""The fleet of the tests of partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from iottly_async.emulator import Emulator


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """A fleet of five devices and 3,000 messages, with two keys in the environment."""
    keys = ("a-key-of-one", "a-key-of-two")
    async with Emulator(devices=5, messages=3000, api_keys=keys) as emulator:
        monkeypatch.setenv("KEY_ONE", keys[0])
        monkeypatch.setenv("KEY_TWO", keys[1])
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        yield emulator
