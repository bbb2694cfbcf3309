"""What all tests share: hypothesis's profiles, and a session on a small emulated fleet."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from tests.support.environment import clear_environment
from tests.support.leaks import no_leaks
from tests.support.tls import Certificates

pytest_plugins = ["tests.support.canary"]

settings.register_profile(  # the same examples in each run: a change's checks depend on it alone
    "ci",
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# An image of Python for containers may turn this off: then each process that a test starts would
# compile the package anew, for a fifth of what it does.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A script that runs the tests in the background lets them ignore Ctrl-C, and the processes that
    # they start and interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


_ENDED = count(1)

# While the tests are collected, no garbage is made that would be worth a collection.
gc.disable()


def pytest_collection_finish() -> None:
    """Freeze what the tests are made of: the garbage collector need not look at it during each."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    """Freeze what some tests have left, too: else each collection takes longer than the last."""
    if next(_ENDED) % 50 == 0:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return what ``-n auto`` stands for: two more than there are cores.

    Tests wait for processes and disks, too, and another worker uses the core meanwhile.
    """
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> None:
    """No variable of the shell that runs the tests changes a result."""
    clear_environment()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A fleet of three devices and 600 messages, without a rate limit."""
    async with Emulator(devices=3, messages=600) as emulator:
        yield emulator


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[IottlySession]:
    """A session on that fleet, with its own limiter."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
        yield session


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """The certificates of test servers and clients."""
    return Certificates()


@pytest.fixture
async def leaves_nothing() -> AsyncIterator[None]:
    """Fail the test if it leaves a task, a socket or an unhandled error in the event loop."""
    async with no_leaks():
        yield
