"""How the commands come to a session: the key, the host, the project."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from cyclopts import Parameter

from ..config import Config
from ..errors import ConfigurationError
from ..resources import Project
from ..session import IottlySession

ProjectOption = Annotated[
    str | None,
    Parameter(name=["--project", "-p"], env_var="IOTTLY_PROJECT", help="The project's id."),
]


@asynccontextmanager
async def connected() -> AsyncIterator[IottlySession]:
    """A session by the environment; the key is asked for where it has none.

    Raises:
        ConfigurationError: there is no key, and no terminal to ask at.
    """
    config = Config.from_env()
    async with IottlySession(_key(), config=config) as session:
        yield session


@asynccontextmanager
async def in_project(project: str | None) -> AsyncIterator[Project]:
    """The project that was named, in a session by the environment.

    Raises:
        ConfigurationError: none was named.
    """
    project = named(project)
    async with connected() as session:
        yield session.project(project)


def named(project: str | None) -> str:
    """The project's id.

    Raises:
        ConfigurationError: none was named.
    """
    if not project:
        raise ConfigurationError(
            "project is missing; name it by --project, or set IOTTLY_PROJECT in the environment"
        )
    return project


def _key() -> str:
    key = os.environ.get("IOTTLY_API_KEY", "")
    if not key and sys.stdin.isatty():
        with suppress(EOFError):
            key = getpass.getpass("API key: ", stream=sys.stderr).strip()
    if not key:
        raise ConfigurationError(
            "the API key is missing; set IOTTLY_API_KEY in the environment, or run this at a "
            "terminal, where it is asked for"
        )
    return key
