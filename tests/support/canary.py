"""The canary key: an API key that must never be shown.

As a pytest plugin this file searches everything that a test prints, logs (at any level) and warns
of, and fails a test that shows a key. `assert_key_hidden` searches an error as a traceback with
local variables would show it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any, Final

import pytest

from iottly_async.emulator import DEVELOPMENT_KEY

CANARY: Final = "ik_live_canary_that_must_not_sing_7f3a91"
"""The API key for tests that need any key."""

KEYS: Final = (CANARY, DEVELOPMENT_KEY)


def shows_key(text: str) -> bool:
    """Whether a text holds one of the keys, or a recognisable part of the canary."""
    return any(key in text for key in KEYS) or "canary_that_must" in text


def assert_key_hidden(error: BaseException) -> None:
    """Assert that no part of an error shows a key: text, repr, attributes, notes, causes, locals.

    Frames of the tests are skipped; frames of the library and of what it calls are searched.
    """
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or any(each is other for other in seen):
            continue
        seen.append(each)
        waiting += [each.__cause__, each.__context__]
        shown = [str(each), repr(each), repr(each.args), repr(vars(each)), *_frames(each)]
        assert not any(map(shows_key, shown)), f"{type(each).__name__} shows the key"


def _frames(error: BaseException) -> Iterator[str]:
    stack = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), capture_locals=True
    )
    for frame in stack:
        if "/tests/" not in frame.filename:
            yield f"{frame.filename}:{frame.lineno} {frame.locals}"


class KeyLogHandler(logging.Handler):
    """A logging handler that searches every record of the run, at any level, for a key.

    Attributes:
        found: the records that showed a key, by logger and level.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record that shows a key."""
        text = f"{self.format(record)} {record.args!r} {record.msg!r}"
        if shows_key(text):
            self.found.append(f"a log record of {record.name} at {record.levelname}")


KEY_LOG: Final = KeyLogHandler()
_LOGGERS: Final = ("iottly_async", "aiohttp", "asyncio", "backoff", "redis")


def pytest_configure(config: pytest.Config) -> None:
    """Add the handler, and set the loggers concerned to DEBUG."""
    logging.getLogger().addHandler(KEY_LOG)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the handler."""
    logging.getLogger().removeHandler(KEY_LOG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Fail a test that showed a key."""
    report: pytest.TestReport = yield
    shown = [*KEY_LOG.found]
    KEY_LOG.found.clear()
    shown += [f"{name}" for name, text in report.sections if shows_key(text)]
    if report.failed and shows_key(report.longreprtext):
        shown.append("the failure's own text")
    if shown:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: the API key was shown in {', '.join(shown)}"
    return report
