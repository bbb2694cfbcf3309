"""Nothing is left behind, here too, and a server that answers every call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.leaks import nothing_left
from tests.support.tls import Certificates


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """What servers and clients of these tests need for TLS."""
    return Certificates()


@pytest.fixture
async def leaves_nothing() -> AsyncIterator[None]:
    """The test ends without a task, a socket or a complaint of the loop's left."""
    async with nothing_left():
        yield
