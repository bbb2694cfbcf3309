"""Settings that are one of a few values, and what is said of any other."""

from collections.abc import Callable
from typing import Any

import attrs


def one_of(choices: tuple[object, ...]) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    """A validator: ``ValueError`` names the setting, what was given, and the choices."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in choices:
            raise ValueError(f"{attribute.name}={value!r}: one of {', '.join(map(repr, choices))}")

    return check
