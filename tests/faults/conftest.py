"""Certificates of an authority of our own, and the hold that nothing is left behind."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.leaks import nothing_left
from tests.support.tls import Certificates


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """What servers and clients of these tests need for TLS."""
    return Certificates()


@pytest.fixture(scope="package", autouse=True)
def quick_collections() -> Iterator[None]:
    """Each test collects garbage; what was there before all of them is not looked at again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def leaves_nothing() -> AsyncIterator[None]:
    """Every test here ends without a task, a socket or a complaint of the loop's left."""
    async with nothing_left():
        yield
