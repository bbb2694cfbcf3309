"""The lower bounds of all direct dependencies, as constraints for pip.

``python tests/support/lower_bounds.py`` prints a line ``NAME == VERSION`` for each direct
dependency in pyproject.toml, with those of all extras: the oldest version that is allowed. What
these packages themselves depend on is as new as they permit.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_FILE = Path(__file__).parents[2] / "pyproject.toml"
_PROJECT = tomllib.loads(_FILE.read_text("utf-8"))["project"]
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*\])? *>= *(?P<version>[^ ,;]+)")


def direct_dependencies() -> list[str]:
    """The requirements in pyproject.toml, those of extras included."""
    extras = _PROJECT["optional-dependencies"].values()
    return [*_PROJECT["dependencies"], *(line for lines in extras for line in lines)]


def lower_bounds(requirements: Iterable[str] | None = None) -> dict[str, str]:
    """The oldest version that is allowed of each package, by its name.

    Args:
        requirements: such as "attrs >= 24.3"; None takes those of pyproject.toml.

    Raises:
        ValueError: A package has no lower bound, or two that differ.
    """
    bounds: dict[str, str] = {}
    for line in direct_dependencies() if requirements is None else requirements:
        if line.startswith(f"{_PROJECT['name']}["):
            continue  # the package itself, with some of its extras
        found = _REQUIREMENT.match(line)
        if found is None:
            raise ValueError(f"{line!r} in {_FILE.name} has no lower bound: write NAME >= VERSION")
        name, version = found["name"], found["version"]
        if bounds.setdefault(name, version) != version:
            raise ValueError(f"{name} in {_FILE.name} has two lower bounds: write one of them")
    return bounds


if __name__ == "__main__":
    for name, version in sorted(lower_bounds().items()):
        sys.stdout.write(f"{name} == {version}\n")
