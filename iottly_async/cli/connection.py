"""Opens the session that a command uses: the key, the host, the project."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ConfigurationError
from .profile import ProfileChoice, UserProfile, load_profile
from .signals import signals_wake_loop
from .waits import waits_shown

if TYPE_CHECKING:
    from ..resources import Project
    from ..session import IottlySession

ProjectOption = Annotated[
    str | None,
    Parameter(name=["--project", "-p"], env_var="IOTTLY_PROJECT", help="The project's id."),
]


@asynccontextmanager
async def connected(user: UserProfile, *, say_waits: bool = True) -> AsyncIterator[IottlySession]:
    """Open a session.

    Args:
        user: The settings, and where the key is found.
        say_waits: Whether stderr says what calls wait for; not for a command that shows it
            itself.

    Yields:
        The session; it is closed on exit.

    Raises:
        ConfigurationError: There is no key.
    """
    # Imported here, so that `iottly --help` loads no aiohttp.
    from ..clock import SYSTEM_CLOCK
    from ..session import IottlySession
    from .key import find_key

    async with (
        IottlySession(find_key(user), config=user.config) as session,
        AsyncExitStack() as stack,
    ):
        stack.enter_context(signals_wake_loop())
        if say_waits:
            await stack.enter_async_context(waits_shown(session, SYSTEM_CLOCK))
        yield session


@asynccontextmanager
async def in_project(
    project: str | None, profile: ProfileChoice | None
) -> AsyncIterator[tuple[IottlySession, Project]]:
    """Open a session for one project.

    Args:
        project: The project's id, or None if none was named.
        profile: The options that choose settings, or None if there are none.

    Yields:
        The session, which is closed on exit, and the project.

    Raises:
        ConfigurationError: No project was named, there is no key, or the profile is not
            accepted.
    """
    user = load_profile(profile, project)
    named = project_id(user.project)
    async with connected(user) as session:
        yield session, session.project(named)


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
