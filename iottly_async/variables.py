"""Settings as text: how each is written, and those of environment variables.

A setting is a field of an attrs class whose metadata says how its value is written. Each has a
variable: ``IOTTLY_`` and its name in capital letters, such as ``IOTTLY_TIMEOUT=30``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from math import inf
from typing import Any, Final

from attrs import Attribute, frozen

from .checks import Seconds, flag, seconds, whole
from .errors import ConfigurationError
from .texts import quoted

FORM: Final = "iottly_async.form"
"""The name of a field's metadata that holds its `TextForm`."""


@frozen(kw_only=True)
class TextForm:
    """How a setting is written as text.

    Attributes:
        accepted: which texts are accepted, for people, such as "true or false".
        parse: turns a text into the setting's value, or into None if it is not accepted.
        check: refuses a value that is out of range with a `ConfigurationError`. It takes the
            value and a name for the error.
    """

    accepted: str
    parse: Callable[[str], object]
    check: Callable[[object, str], object]


def variable_of(setting: str) -> str:
    """The environment variable of a setting, such as IOTTLY_RETRY_BUDGET of "retry.budget"."""
    return "IOTTLY_" + setting.upper().replace(".", "_")


def checked(_: object, attribute: Attribute[Any], value: object) -> None:
    """Check a value by its field's form. A validator of attrs."""
    form: TextForm = attribute.metadata[FORM]
    form.check(value, attribute.name)


def written(form: TextForm) -> dict[str, TextForm]:
    """The metadata of a field that is written in a form."""
    return {FORM: form}


def duration(*, zero: bool = False, endless: bool = False) -> dict[str, TextForm]:
    """The metadata of a field for a duration in seconds.

    Args:
        zero: whether 0 is accepted.
        endless: whether `math.inf` is accepted.
    """

    def check(value: object, name: str) -> None:
        seconds(value, name=name, zero=zero, endless=endless)

    accepted = f"a number of seconds, {'0 or more' if zero else 'more than 0'}"
    if endless:
        accepted += ", or inf"
    return written(TextForm(accepted=accepted, parse=_parse_number, check=check))


def number(least: int, most: int | None = None) -> dict[str, TextForm]:
    """The metadata of a field for a whole number.

    Args:
        least: the smallest number that is accepted.
        most: the largest number that is accepted; None, the default, sets no limit.
    """

    def check(value: object, name: str) -> None:
        whole(value, name=name, least=least, most=most)

    bounds = f"{least} or more" if most is None else f"{least} to {most}"
    return written(TextForm(accepted=f"a whole number, {bounds}", parse=_parse_whole, check=check))


def boolean(words: Mapping[str, bool] | None = None) -> dict[str, TextForm]:
    """The metadata of a field for a bool.

    Args:
        words: how its values are written; None, the default, writes true and false.
    """

    def check(value: object, name: str) -> None:
        flag(value, name=name)

    shown = words or {"true": True, "false": False}
    return written(TextForm(accepted=" or ".join(shown), parse=shown.get, check=check))


def read_variables(forms: Mapping[str, TextForm], environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings that the environment has.

    Args:
        forms: the settings by name, with how each is written.
        environ: the environment variables. An empty one counts as not set.

    Returns:
        The values by the settings' names.

    Raises:
        ConfigurationError: a value is not accepted; the text names the variable and says which
            values are.
    """
    found: dict[str, Any] = {}
    for setting, form in forms.items():
        variable = variable_of(setting)
        text = environ.get(variable, "")
        if text:
            value = form.parse(text)
            if value is None:
                raise ConfigurationError(f"{variable} must be {form.accepted}, not {quoted(text)}")
            form.check(value, variable)
            found[setting] = value
    return found


def _parse_number(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?|inf", text):
        return None
    return inf if text == "inf" else float(text)


def _parse_whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def to_seconds(value: Seconds) -> float:
    """Turn a duration into seconds. A converter of attrs."""
    return value.total_seconds() if isinstance(value, timedelta) else value
