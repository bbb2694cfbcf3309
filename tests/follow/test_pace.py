"""`FollowPace`: what it accepts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from iottly_async import ConfigurationError, FollowPace


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"goal": 0}, "goal must be more than 0 seconds"),
        ({"fastest": "1"}, "fastest must be a finite number of seconds"),
        ({"share": 0}, "share must be above 0 and up to 1"),
        ({"share": 1.5}, "share must be above 0 and up to 1"),
        ({"share": True}, "share must be above 0 and up to 1"),
        ({"fastest": 10, "slowest": 5}, "slowest, 5 s, must not be less than fastest, 10 s"),
    ],
)
def test_a_wrong_value_is_refused(wrong: dict[str, Any], words: str) -> None:
    """The error names the argument and what is accepted."""
    with pytest.raises(ConfigurationError, match=words):
        FollowPace(**wrong)


def test_a_timedelta_becomes_seconds() -> None:
    """A duration can be given as a timedelta; the attribute has seconds."""
    assert FollowPace(slowest=timedelta(minutes=5)).slowest == 300
