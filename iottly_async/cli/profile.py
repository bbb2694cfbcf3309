"""Finds the profile that a command uses: a table of the user's own file of settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from attrs import fields_dict, frozen
from cyclopts import Parameter

from ..config import WRITABLE, Config, RetryPolicy
from ..profiles import PROJECT, read_profile

ProfileOption = Annotated[
    str | None,
    Parameter(
        name="--profile",
        env_var="IOTTLY_PROFILE",
        help="A table of ~/.config/iottly/config.toml with settings, such as [plant].",
    ),
]


@frozen
class UserProfile:
    """The settings of a command.

    Attributes:
        config: the settings.
        project: the project's id; None if neither the command line nor the profile names one.
    """

    config: Config
    project: str | None


def settings_file() -> Path:
    """The user's file of settings."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "iottly" / "config.toml"


def load_profile(profile: str | None, project: str | None) -> UserProfile:
    """Read the profile that a command names.

    The command line comes before the profile, and the profile before the environment.

    Args:
        profile: The profile's name. None uses the environment alone.
        project: The project that the command line or ``IOTTLY_PROJECT`` names; None if neither
            names one.

    Returns:
        The settings.

    Raises:
        ConfigurationError: There is no such profile, or it is not accepted.
    """
    if profile is None:
        return UserProfile(Config.from_env(), project)
    path = settings_file()
    config = Config.from_file(path, profile=profile)
    tables = {"retry": tuple(fields_dict(RetryPolicy))}
    found = read_profile(path, profile, settings=WRITABLE, tables=tables).get(PROJECT)
    if project is None or project == os.environ.get("IOTTLY_PROJECT"):
        project = found or project
    return UserProfile(config, project)
