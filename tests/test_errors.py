"""The errors: the tree in the module's docstring, and the facts of each."""

from __future__ import annotations

import pickle
import re
from typing import cast

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
    what: list[object] = ["what happened"]
    if kind is errors.DevicesFailedError:
        what.append({"d1": errors.DeviceFailure(error=errors.NotFoundError("gone", status=404))})
    error = kind(*what, status=409, code="c", request_id="r", sent="no", attempts=2)
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert str(twin) == "what happened"
    assert twin.facts() == error.facts()


def test_some_errors_are_also_what_python_programs_catch() -> None:
    """ConfigurationError is a ValueError, DeadlineExceededError a TimeoutError."""
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.CursorMismatchError, ValueError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)


def failed() -> errors.DevicesFailedError:
    """Two of five devices have failed."""
    return errors.DevicesFailedError.of(
        {
            "d1": errors.DeviceFailure(error=errors.NotFoundError("gone", status=404)),
            "d2": errors.DeviceFailure(error=errors.ServerError("away"), cursor="where"),
        },
        devices=5,
    )


def test_the_failures_of_devices_are_one_error_and_a_group() -> None:
    """`except IottlyError` catches it, and `except*` finds the errors of single devices, with
    the cursor of each."""
    found: dict[str, object] = {}
    try:
        raise failed()
    except* errors.NotFoundError as group:
        found["not found"] = [*cast(errors.DevicesFailedError, group).failures]
    except* errors.ServerError as group:
        found["server"] = cast(errors.DevicesFailedError, group).failures["d2"].cursor
    assert found == {"not found": ["d1"], "server": "where"}
    with pytest.raises(errors.IottlyError, match=r"2 of 5 devices failed: d1 .*gone.*; d2"):
        raise failed()


def test_the_failures_of_devices_survive_pickling() -> None:
    """The error of each device, with its facts and its cursor, is there on the other side."""
    twin = pickle.loads(pickle.dumps(failed()))
    assert [*twin.failures] == ["d1", "d2"]
    assert twin.failures["d1"].error.status == 404
    assert twin.failures["d2"].cursor == "where"
    assert [type(error) for error in twin.exceptions] == [errors.NotFoundError, errors.ServerError]


def test_many_failed_devices_have_a_short_text() -> None:
    """The text names three devices and counts the others."""
    failures = {f"d{n}": errors.DeviceFailure(error=errors.ServerError("away")) for n in range(40)}
    text = str(errors.DevicesFailedError.of(failures, devices=2000))
    assert text.startswith("40 of 2000 devices failed: d0 ")
    assert "d3" not in text
    assert text.endswith("and 37 more, in `failures`")
