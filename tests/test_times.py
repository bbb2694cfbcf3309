"""Times that callers give, times that are sent, and HTTP dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import ConfigurationError, DecodeError
from iottly_async.config import TIMESTAMP_FORMATS, TimestampFormat
from iottly_async.models._time import epoch_ms, from_epoch_ms
from iottly_async.times import aware, http_date, read_time, retry_after, write_time

moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - naive is meant
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - naive is what is refused


@given(moments, st.sampled_from(["milliseconds", "microseconds", "seconds", "auto"]))
def test_a_naive_text_is_utc(time: datetime, precision: str) -> None:
    """The text of a naive datetime is read as UTC (D5)."""
    text = time.isoformat(timespec=precision)
    found = read_time(text, "$")
    assert found.tzinfo is UTC
    assert found.replace(tzinfo=None) == datetime.fromisoformat(text)


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_a_text_with_an_offset_is_that_moment(time: datetime, minutes: int) -> None:
    """A text with an offset is read as the same instant in UTC."""
    given = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = read_time(given.isoformat(), "$")
    assert found == given
    assert found.tzinfo is UTC


@given(st.integers(-(10**14), 10**14), st.sampled_from(["iso", "iso-z"]))
def test_what_is_written_is_read_back(ms: int, form: TimestampFormat) -> None:
    """A time that is written is read back as the same millisecond."""
    ms = max(-62_135_596_800_000, ms)
    assert epoch_ms(read_time(write_time(ms, form), "$")) == ms


@pytest.mark.parametrize("form", TIMESTAMP_FORMATS)
def test_no_two_milliseconds_are_written_alike(form: TimestampFormat) -> None:
    """No form of a time loses milliseconds, which would change a range."""
    assert len({write_time(ms, form) for ms in range(-1500, 1500)}) == 3000


@given(moments)
def test_milliseconds_and_back(time: datetime) -> None:
    """Milliseconds since the epoch round down, and are read back as an aware datetime."""
    back = from_epoch_ms(epoch_ms(time.replace(tzinfo=UTC)))
    assert back.replace(tzinfo=None) == time - timedelta(microseconds=time.microsecond % 1000)


@pytest.mark.parametrize("text", ["20180727", "1532713804968", "", "٢٠١٨", "now", "24:00"])
def test_another_text_is_an_error(text: str) -> None:
    """Any other text, such as digits without dashes, is a DecodeError."""
    with pytest.raises(DecodeError, match="expected a time"):
        read_time(text, "$.timestamp")


def test_a_given_time_is_brought_to_utc() -> None:
    """An aware datetime of any zone becomes the same instant in UTC."""
    rome = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Rome"))
    assert aware(rome, name="start") == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert aware(rome, name="start").tzinfo is UTC


@pytest.mark.parametrize("time", [NAIVE, date(2026, 1, 1), "2026-01-01", 0, None], ids=repr)
def test_a_naive_time_is_refused(time: Any) -> None:
    """Anything but an aware datetime is a ValueError that names the argument (D5)."""
    with pytest.raises(ConfigurationError, match="start must be an aware datetime") as caught:
        aware(time, name="start")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0),
        ("Sun Nov  6 08:49:37 1994", 784111777.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("120", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
    ],
)
def test_dates_of_http(text: str, seconds: float | None) -> None:
    """An HTTP date is read as seconds since the epoch; anything else is None, never an error."""
    assert http_date(text) == seconds


DATE = {"date": "Tue, 06 May 2025 13:20:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after": "1.5"}, None, id="a fraction"),
        pytest.param({"retry-after": " 7 "}, 7.0, id="seconds, spaced"),
        pytest.param({"retry-after": "0"}, 0.0, id="at once"),
        pytest.param(DATE | {"retry-after": "Tue, 06 May 2025 13:20:30 GMT"}, 30.0, id="date"),
        pytest.param(DATE | {"retry-after": "Tue, 06 May 2025 13:19:00 GMT"}, 0.0, id="past"),
        pytest.param({"retry-after": "Tue, 06 May 2025 13:20:30 GMT"}, 25.0, id="no Date"),
        pytest.param({"retry-after": "-3"}, None, id="below 0"),
        pytest.param({"retry-after": "later"}, None, id="garbage"),
        pytest.param({"retry-after": "1e9999"}, None, id="infinite"),
    ],
)
def test_retry_after(headers: Mapping[str, str], seconds: float | None) -> None:
    """Retry-After is whole seconds, or a date that is compared with `Date`; else it is ignored."""
    server_now = 1746537605.0  # 2025-05-06T13:20:05Z
    assert retry_after(headers, server_now) == seconds
