"""The errors: the tree in the module's docstring, and the facts of each."""

from __future__ import annotations

import pickle
import re

import pytest

from iottly_async import errors


def _drawn() -> dict[str, str]:
    """Read class -> parent from the tree in the module's docstring."""
    parents: dict[str, str] = {}
    way: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1].replace("    ", "", 1)) // 4
            way[depth:] = [found[2]]
            parents[found[2]] = way[depth - 1] if depth else ""
    return parents


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every class is in the tree, under its parent."""
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.IottlyError)
    }
    drawn = _drawn()
    assert set(drawn) == set(classes)
    for name, parent in drawn.items():
        if parent:
            assert classes[parent] in classes[name].__bases__, name


@pytest.mark.parametrize("name", sorted(_drawn()))
def test_every_error_survives_pickling_with_its_facts(name: str) -> None:
    """An error can be pickled with its facts, as Dask and multiprocessing do."""
    kind = getattr(errors, name)
    error = kind("what happened", status=409, code="c", request_id="r", sent="no", attempts=2)
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert str(twin) == "what happened"
    assert twin.facts() == error.facts()


def test_some_errors_are_also_what_python_programs_catch() -> None:
    """ConfigurationError is a ValueError, DeadlineExceededError a TimeoutError."""
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)
