"""The settings of a command: its options, the environment, a profile of the user's own file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attrs import evolve, frozen
from cyclopts import Parameter

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..config import Config


@Parameter(name="*")
@frozen(kw_only=True)
class ProfileChoice:
    """The options that choose settings.

    Attributes:
        profile: the profile's name; None uses no profile.
        proxy: "env" or "none"; None leaves it to the environment and the profile.
    """

    profile: Annotated[
        str | None,
        Parameter(
            env_var="IOTTLY_PROFILE",
            help="A table of ~/.config/iottly/config.toml with settings, such as [plant].",
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Parameter(
            help="env: go through the proxy that the environment names, such as "
            "https_proxy=http://host:port. none: through no proxy."
        ),
    ] = None


ProfileOption = Annotated[ProfileChoice | None, Parameter(name="*")]


@frozen(kw_only=True)
class UserProfile:
    """The settings of a command.

    Attributes:
        config: the settings.
        project: the project's id; None if neither an option, the environment nor the profile
            names one.
        name: the profile's; "default" if none was chosen.
        key_command: the words of a command that prints the key; None if there is none.
        path: of the file with the profile; "" if none was chosen.
    """

    config: Config
    project: str | None
    name: str
    key_command: tuple[str, ...] | None
    path: str


def settings_file() -> Path:
    """The user's file of settings."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "iottly" / "config.toml"


def load_profile(chosen: ProfileChoice | None, project: str | None) -> UserProfile:
    """Put together the settings of a command.

    An option comes before an environment variable, that before the profile, and that before
    the default.

    Args:
        chosen: The options; None if there are none.
        project: The project that the option or ``IOTTLY_PROJECT`` names; None if neither
            names one.

    Returns:
        The settings.

    Raises:
        ConfigurationError: There is no such profile, or a setting is not accepted.
    """
    # Imported here, so that `iottly --help` loads no settings.
    from ..config import merged, profile_of
    from ..profiles import Profile

    options = chosen or ProfileChoice()
    profile = Profile()
    if options.profile is not None:
        profile = profile_of(settings_file(), options.profile)
    config = merged(profile, os.environ)
    if options.proxy is not None:
        config = evolve(config, trust_env=_uses_proxy(options.proxy))
    return UserProfile(
        config=config,
        project=project or profile.project,
        name=options.profile or "default",
        key_command=profile.key_command,
        path=profile.path,
    )


def _uses_proxy(word: str) -> bool:
    from ..profiles import PROXY_WORDS

    if word not in PROXY_WORDS:
        raise ConfigurationError(
            "--proxy must be env or none; an address stands in the environment, such as "
            "https_proxy=http://host:port, because other users of this machine see arguments"
        )
    return PROXY_WORDS[word]
