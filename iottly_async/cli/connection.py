"""Opens the session that a command uses: the key, the host, the project."""

from __future__ import annotations

import getpass
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..config import Config
from ..errors import ConfigurationError
from .profile import load_profile
from .waits import waits_shown

if TYPE_CHECKING:
    from ..resources import Project
    from ..session import IottlySession

ProjectOption = Annotated[
    str | None,
    Parameter(name=["--project", "-p"], env_var="IOTTLY_PROJECT", help="The project's id."),
]


@asynccontextmanager
async def connected(config: Config, *, say_waits: bool = True) -> AsyncIterator[IottlySession]:
    """Open a session.

    If the environment has no key and stdin is a terminal, the user is asked for it.

    Args:
        config: The settings.
        say_waits: Whether stderr says what calls wait for; not for a command that shows it
            itself.

    Yields:
        The session; it is closed on exit.

    Raises:
        ConfigurationError: There is no key, and no terminal to ask for it.
    """
    # Imported here, so that `iottly --help` loads no aiohttp.
    from ..clock import SYSTEM_CLOCK
    from ..session import IottlySession

    async with IottlySession(_key(), config=config) as session, AsyncExitStack() as stack:
        if say_waits:
            await stack.enter_async_context(waits_shown(session, SYSTEM_CLOCK))
        yield session


@asynccontextmanager
async def in_project(project: str | None, profile: str | None) -> AsyncIterator[Project]:
    """Open a session configured by the environment and a profile, for one project.

    Args:
        project: The project's id, or None if none was named.
        profile: The profile's name, or None if none was named.

    Yields:
        The project; its session is closed on exit.

    Raises:
        ConfigurationError: No project was named, there is no key, or the profile is not
            accepted.
    """
    user = load_profile(profile, project)
    named = project_id(user.project)
    async with connected(user.config) as session:
        yield session.project(named)


def project_id(project: str | None) -> str:
    """Check that a project was named.

    Args:
        project: The project's id, or None if none was named.

    Returns:
        The id.

    Raises:
        ConfigurationError: No project was named.
    """
    if not project:
        raise ConfigurationError(
            "the project is missing; pass --project, set the environment variable "
            "IOTTLY_PROJECT, or use a profile that has it"
        )
    return project


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a blocking read. asyncio would only cancel the task, which cannot run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _key() -> str:
    key = os.environ.get("IOTTLY_API_KEY", "")
    if not key and sys.stdin.isatty():
        with suppress(EOFError), _interruptible():
            key = getpass.getpass("API key: ", stream=sys.stderr).strip()
    if not key:
        raise ConfigurationError(
            "the API key is missing; set the environment variable IOTTLY_API_KEY, or run the "
            "command on a terminal, which asks for the key"
        )
    return key
