"""The settings that an operator writes: their variables, what each accepts, the defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..config import FORMS, Config, RetryPolicy
from ..variables import variable_of
from .docstrings import meanings

ORDER: Final = (
    "An option comes before a variable, that before the profile, and that before the default. "
    "An empty variable counts as not set. In a profile, a setting is written by its name, such "
    "as timeout = 30; texts stand in quotation marks."
)


class SettingRow(NamedTuple):
    """One setting.

    Attributes:
        name: in a profile.
        variable: of the environment.
        accepted: which values are.
        default: as it is written.
        meaning: what the setting does, in a sentence without its full stop.
    """

    name: str
    variable: str
    accepted: str
    default: str
    meaning: str

    @property
    def text(self) -> str:
        """All about the setting but its variable."""
        return (
            f"{self.meaning}. Takes {self.accepted}; default {self.default}. "
            f"In a profile: {self.name}."
        )


def setting_rows() -> Iterator[SettingRow]:
    """List the settings, each from the field that holds it."""
    config = Config()
    means = meanings(Config.__doc__, "Attributes")
    means["proxy"] = means["trust_env"]
    for name, meaning in meanings(RetryPolicy.__doc__, "Attributes").items():
        means[f"retry.{name}"] = meaning
    for name, form in FORMS.items():
        value: Any = config
        for part in name.replace("proxy", "trust_env").split("."):
            value = getattr(value, part)
        yield SettingRow(
            name, variable_of(name), form.accepted, _written(name, value), _plain(means[name])
        )


def _written(name: str, value: Any) -> str:
    if name == "proxy":
        return "env" if value else "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(meaning: str) -> str:
    """The first sentence about a setting, without what only a program needs."""
    sentence = re.split(r"\.(?: |$)", meaning, maxsplit=1)[0]
    sentence = re.sub(r"(?<=^seconds), or a `timedelta`,?| \(D\d+\)|`", "", sentence)
    return sentence[0].upper() + sentence[1:]
