"""The pytest fixtures, in test runs of their own: every way in which users run coroutines."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import anyio.pytest_plugin
import pytest
import pytest_asyncio.plugin

from iottly_async.integrations import pytest_plugin

pytest_plugins = ["pytester"]

ASYNCIO = pytest_asyncio.plugin
STRICT = ("-W", "error", "-p", "no:cacheprovider")

# The first test changes the emulator, and the second finds it reset.
COROUTINES = """
import pytest

MARK

async def test_first(iottly_session, iottly_emulator):
    project = iottly_session.project(iottly_emulator.project_id)
    (device, *_) = await project.devices.list()
    await project.devices.rename(device.id, "changed")
    iottly_emulator.fault("status", status=404, count=None)

async def test_second(iottly_session, iottly_emulator):
    project = iottly_session.project(iottly_emulator.project_id)
    names = [device.name for device in await project.devices.list()]
    assert len(names) == 3
    assert "changed" not in names
"""


def run(
    pytester: pytest.Pytester, source: str, *arguments: str, beside: ModuleType | None = ASYNCIO
) -> pytest.RunResult:
    """Run tests with our plugin and `beside`; a warning, as of an open socket, fails.

    They run in this process: a process of their own takes longer to start than the tests take.
    """
    pytester.makepyfile(source)
    pytester.makeini("[pytest]")  # so that no settings above the folder of the test are used
    if beside is ASYNCIO:
        arguments = ("-o", "asyncio_default_fixture_loop_scope=function", *arguments)
    plugins = [one for one in (pytest_plugin, beside) if one is not None]
    return pytester.runpytest_inprocess(
        *STRICT, "--disable-plugin-autoload", *arguments, plugins=plugins
    )


def test_pytest_asyncio_in_strict_mode(pytester: pytest.Pytester) -> None:
    """Marked tests get a session, and nothing is left open. In a loop that serves several tests,
    each session is closed after its test."""
    shared = COROUTINES.replace(
        "MARK", 'sessions = []\npytestmark = pytest.mark.asyncio(loop_scope="module")'
    ).replace("    project =", "    sessions.append(iottly_session)\n    project =")
    shared += """
async def test_third():
    from iottly_async import SessionClosedError
    for session in sessions:
        with pytest.raises(SessionClosedError):
            await session.ping()
"""
    pytester.makepyfile(test_with_one_loop_for_all=shared)
    source = COROUTINES.replace("MARK", "pytestmark = pytest.mark.asyncio")
    run(pytester, source, "-o", "asyncio_mode=strict").assert_outcomes(passed=5)


def test_pytest_asyncio_in_auto_mode(pytester: pytest.Pytester) -> None:
    """Unmarked tests get a session, and nothing is left open."""
    source = COROUTINES.replace("MARK", "")
    run(pytester, source, "-o", "asyncio_mode=auto").assert_outcomes(passed=2)


def test_anyio(pytester: pytest.Pytester) -> None:
    """Tests under anyio's own plugin get a session, and nothing is left open."""
    backend = '@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
    source = COROUTINES.replace("MARK", f"pytestmark = pytest.mark.anyio\n\n{backend}")
    run(pytester, source, beside=anyio.pytest_plugin).assert_outcomes(passed=2)


def test_synchronous_tests(pytester: pytest.Pytester) -> None:
    """A session serves one `asyncio.run` and is closed at its end; it may also stay unused."""
    source = """
import asyncio
import pytest
from iottly_async import SessionClosedError

def test_unused(iottly_session):
    assert iottly_session.quota.source == "unknown"

def test_run(iottly_session, iottly_emulator):
    device = iottly_emulator.device_ids[0]
    iottly_emulator.append(device, [{"payload": {"n": 1}}])
    messages = iottly_session.project(iottly_emulator.project_id).messages
    (message,) = asyncio.run(messages.recent(device, limit=1))
    assert message.payload == {"n": 1}
    with pytest.raises(SessionClosedError):
        asyncio.run(iottly_session.ping())
"""
    run(pytester, source, beside=None).assert_outcomes(passed=2)


def test_an_application_with_its_own_session(pytester: pytest.Pytester) -> None:
    """An application that opens its own session uses the emulator and a fresh quota."""
    source = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from iottly_async import FleetDevicePage
from iottly_async.integrations.fastapi import SessionDep, install, lifespan

app = FastAPI(lifespan=lifespan())
install(app)

@app.get("/fleet")
async def fleet(session: SessionDep) -> FleetDevicePage:
    return await session.with_options(timeout=1).devices.page()

def test_refused(iottly_environment):
    iottly_environment.fault("status", status=429, count=None, headers={"Retry-After": "50"})
    with TestClient(app) as client:
        assert client.get("/fleet").status_code == 429

def test_the_quota_is_reset_too(iottly_environment):
    with TestClient(app) as client:
        assert client.get("/fleet").json()["total"] == 3
"""
    run(pytester, source).assert_outcomes(passed=2)


def test_the_emulators_settings_can_be_overridden(pytester: pytest.Pytester) -> None:
    """A conftest overrides them, and one server serves the whole run."""
    pytester.makeconftest(
        "import pytest\n"
        '@pytest.fixture(scope="session")\n'
        "def iottly_emulator_options():\n"
        '    return {"devices": 1, "messages": 5}\n'
    )
    source = """
urls = set()

def test_first(iottly_emulator):
    assert len(iottly_emulator.stored(iottly_emulator.device_ids[0])) == 5
    urls.add(iottly_emulator.base_url)

def test_second(iottly_emulator):
    assert urls == {iottly_emulator.base_url}
"""
    run(pytester, source).assert_outcomes(passed=2)


# At some moments of a second by the emulator's clock, and some times while that clock goes on.
APPENDED = """
import pytest

@pytest.mark.parametrize("number, ms", [*enumerate([0, 1, 500, 999, *[None] * 4])])
async def test_appended(iottly_session, iottly_emulator, number, ms):
    messages = iottly_session.project(iottly_emulator.project_id).messages
    clock = iottly_emulator.clock
    if ms is not None:
        clock.pin(clock.now().replace(microsecond=1000 * ms))
    for device in iottly_emulator.device_ids:
        iottly_emulator.append(device, [{"payload": {"number": number}}])
        for order in ("asc", "desc"):
            found = [one.payload async for one in messages.walk(device, order=order)]
            assert found[-1 if order == "asc" else 0] == {"number": number}
"""

# By the test's own clock and by the emulator's, which may stand still; the application's way.
SINCE = """
import asyncio
from datetime import UTC, datetime
import pytest
from iottly_async import IottlySession

@pytest.mark.parametrize("number", range(20))
async def test_since(iottly_session, iottly_environment, number):
    emulator = iottly_environment
    if number % 3 == 2:
        emulator.clock.pin()
    start = emulator.clock.now() if number % 3 else datetime.now(UTC)
    device = emulator.device_ids[0]
    emulator.append(device, [{"payload": {"number": number}}])
    async with IottlySession() as session:
        for one in (iottly_session, session):
            walk = one.project(emulator.project_id).messages.walk(device, start=start)
            assert [message.payload async for message in walk] == [{"number": number}]
"""


def test_an_appended_message_is_found_at_once(pytester: pytest.Pytester) -> None:
    """A walk that begins after `append` yields the message, at any moment of a second."""
    run(pytester, APPENDED, "-o", "asyncio_mode=auto").assert_outcomes(passed=8)


def test_a_walk_from_the_present_finds_what_is_appended_next(pytester: pytest.Pytester) -> None:
    """`start` is taken before `append`; an application with its own session finds it, too."""
    run(pytester, SINCE, "-o", "asyncio_mode=auto").assert_outcomes(passed=20)


def test_xdist(pytester: pytest.Pytester) -> None:
    """Each worker has a server of its own, and a warning fails the run there, too.

    pytest runs as a process and finds the plugin by its entry point.
    """
    pytester.makepyfile(APPENDED)
    pytester.makeini("[pytest]")
    plugins = ("-p", "iottly", "-p", "pytest_asyncio.plugin", "-p", "xdist.plugin")
    modes = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    pytester.runpytest_subprocess(
        *(*STRICT, "--disable-plugin-autoload", *plugins, *modes, "-n", "2")
    ).assert_outcomes(passed=8)


def test_unittest(pytester: pytest.Pytester) -> None:
    """Cases of unittest get the fixtures by a fixture of their own, coroutines included."""
    source = """
import asyncio
import unittest
import pytest

class TestCalls(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _cloud(self, iottly_session, iottly_emulator):
        self.session, self.emulator = iottly_session, iottly_emulator

    async def test_first(self):
        self.emulator.fault("status", status=404, count=None)

    async def test_second(self):
        project = self.session.project(self.emulator.project_id)
        self.assertEqual(len(await project.devices.list()), 3)

@pytest.mark.usefixtures("iottly_environment")
class TestAnApplication(unittest.TestCase):
    def test_it(self):
        from iottly_async import IottlySession

        async def ping():
            async with IottlySession() as session:
                await session.ping()

        asyncio.run(ping())
"""
    run(pytester, source, beside=None).assert_outcomes(passed=3)


def test_the_config_can_be_overridden(pytester: pytest.Pytester) -> None:
    """A fixture of the same name changes the settings of the session."""
    source = """
import attrs
import pytest
from iottly_async import DeadlineExceededError

@pytest.fixture
def iottly_config(iottly_config):
    return attrs.evolve(iottly_config, timeout=0.05)

async def test_it(iottly_session, iottly_emulator):
    iottly_emulator.fault("stall", count=None)
    with pytest.raises(DeadlineExceededError):
        await iottly_session.ping()
"""
    run(pytester, source, "-o", "asyncio_mode=auto").assert_outcomes(passed=1)


def test_the_plugin_loads_nothing_until_it_is_used() -> None:
    """Every start of pytest loads the plugin, so the plugin loads no other module of ours."""
    code = (
        "import sys, pytest\n"
        "from importlib.metadata import entry_points\n"
        "before = set(sys.modules)\n"
        "(plugin,) = entry_points(group='pytest11', name='iottly')\n"
        "plugin.load()\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = ["iottly_async", "iottly_async.integrations", "iottly_async.integrations.pytest_plugin"]
    loaded = done.stdout.split()
    assert [name for name in loaded if name.startswith("iottly_async")] == ours
    assert not {"aiohttp", "attrs", "cattrs", "msgspec", "fastapi", "sqlite3"} & set(loaded)
