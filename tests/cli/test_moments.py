"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from iottly_async.cli.moments import ago, iso_in, moment, zone_of
from iottly_async.errors import ConfigurationError

ROME = ZoneInfo("Europe/Rome")
NOW = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)  # in Rome it is the 30th, after a short day


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-04-01", "2026-03-31T22:00:00+00:00"),
        ("2026-01-01T12:00", "2026-01-01T11:00:00+00:00"),
        ("2026-01-01T12:00Z", "2026-01-01T12:00:00+00:00"),
        ("2026-01-01T12:00+05:30", "2026-01-01T06:30:00+00:00"),
        ("today", "2026-03-29T22:00:00+00:00"),
        ("Yesterday", "2026-03-28T23:00:00+00:00"),
    ],
)
def test_a_time_without_a_zone_is_of_the_zone_given(text: str, utc: str) -> None:
    """A day begins at its midnight there, also after the clocks changed."""
    found = moment(text, name="--start", zone=ROME, now=NOW)
    assert found is not None
    assert found.isoformat() == utc


@pytest.mark.parametrize("text", ["", "7d", "tomorrow's", "2026-13-01", "0001-01-01", "now()"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """The error says what is."""
    with pytest.raises(ConfigurationError, match="--end must be an ISO time"):
        moment(text, name="--end", zone=ROME, now=NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1.5m", 90), ("36h", 129_600), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    """It is counted back from the present."""
    assert (NOW - ago(text, name="--since", now=NOW)).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7 d", "7y", "999999999w", "1e3s", "٣d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Also one that begins before the calendar does."""
    with pytest.raises(ConfigurationError, match="--since must be a number with s, m, h, d or w"):
        ago(text, name="--since", now=NOW)


@pytest.mark.parametrize("name", ["", "Rome", "../etc/passwd", "Europe", "\0"])
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    """The error shows how zones are named."""
    with pytest.raises(ConfigurationError, match="such as Europe/Rome"):
        zone_of(name)


def test_times_are_printed_with_their_offset() -> None:
    """The two hours that have one name in autumn can be told apart."""
    assert iso_in(NOW, zone_of("utc")) == "2026-03-29T22:30:00.000Z"
    assert iso_in(NOW, ROME) == "2026-03-30T00:30:00.000+02:00"
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    assert iso_in(last, ROME) == "9999-12-31T23:59:00.000Z"
