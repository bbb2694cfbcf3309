"""Times as texts, many in one call."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.models._time import digest_texts, naive_from_ms, naive_iso_texts, naive_ms

MICROSECONDS = st.sampled_from([0, 1, 999, 1000, 500_000, 968_000, 968_001, 999_999])
TIMES = st.lists(
    st.none()
    | st.builds(
        lambda time, microsecond: time.replace(microsecond=microsecond),
        st.datetimes(),
        MICROSECONDS,
    ),
    max_size=8,
)


@given(TIMES)
def test_times_are_written_in_milliseconds_whatever_stands_beside_them(
    times: list[datetime | None],
) -> None:
    """Lines have three digits and a Z; digests have six digits, or none for a whole second."""
    whole = [None if time is None else naive_from_ms(naive_ms(time)) for time in times]
    assert naive_iso_texts(times) == [
        None if time is None else f"{time.isoformat(timespec='milliseconds')}Z" for time in whole
    ]
    assert digest_texts(times) == [
        None if time is None else msgspec.json.encode(time.replace(tzinfo=UTC)).decode()[1:-1]
        for time in whole
    ]
