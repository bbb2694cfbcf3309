"""The options of a stream are checked before anything is sent."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest

from iottly_async import ConfigurationError, IottlySession
from iottly_async.stream.options import StreamOptions


@pytest.mark.parametrize(
    "wrong",
    [
        {"fill_gaps": True},
        {"devices": []},
        {"devices": "one"},
        {"devices": ["a/b"]},
        {"type": "other"},
        {"overflow": "drop"},
        {"protocol": object()},
        {"devices": 5},
        {"buffer": 0},
        {"heartbeat": 0},
        {"settle": -1},
        {"patience": -1},
        {"patience": "long"},
    ],
)
async def test_an_invalid_option_is_refused(live: IottlySession, wrong: dict[str, Any]) -> None:
    """`session.stream` raises at once, before it connects."""
    with pytest.raises(ConfigurationError):
        live.stream(**wrong)


def test_the_defaults_of_the_session_are_those_of_the_options() -> None:
    """`session.stream` and `StreamOptions` have the same parameters and defaults.

    Only `settle` differs: the session takes None, and passes the setting on.
    """
    parameters = inspect.signature(IottlySession.stream).parameters
    ours = {name: each.default for name, each in parameters.items() if name != "self"}
    theirs = {each.name: each.default for each in attrs.fields(StreamOptions)}
    assert ours == {**theirs, "settle": None}


def test_devices_are_named_once() -> None:
    """A device that is named twice is subscribed to once."""
    assert StreamOptions(settle=0, devices=["a", "b", "a"]).devices == ("a", "b")
