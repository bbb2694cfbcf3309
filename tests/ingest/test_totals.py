"""Sums over devices are kept, and not made again: they are those that adding up would give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iottly_async.ingest.report import Outcome
from iottly_async.ingest.totals import Contribution, Totals

TIMES = st.none() | st.integers(0, 5)
CONTRIBUTIONS = st.builds(
    Contribution,
    outcome=st.sampled_from(sorted(Outcome)),
    stored=st.integers(0, 5),
    intervals=st.integers(0, 3),
    expected=st.none() | st.integers(0, 9),
    complete_until=TIMES,
)


@given(st.lists(st.tuples(st.sampled_from("abc"), CONTRIBUTIONS), max_size=300))
def test_sums_are_those_of_the_latest_contributions(
    changes: list[tuple[str, Contribution]],
) -> None:
    """After any changes, each sum is that of the latest contribution of each device."""
    totals, latest = Totals(), dict[str, Contribution]()
    for device_id, one in changes:
        totals.replace(device_id, one)
        latest[device_id] = one
        times = [
            each.complete_until for each in latest.values() if each.outcome is not Outcome.FAILED
        ]
        known = [time for time in times if time is not None]
        until = min(known, default=None) if len(known) == len(times) else None
        assert totals.complete_until() == until
    estimates = [one.expected for one in latest.values() if one.expected is not None]
    mean = sum(estimates) / len(estimates) if estimates else None
    assert totals.stored == sum(one.stored for one in latest.values())
    assert totals.intervals == sum(one.intervals for one in latest.values())
    assert totals.expected() == (None if mean is None else mean * len(latest))
    for outcome in Outcome:
        assert totals.count(outcome) == sum(one.outcome is outcome for one in latest.values())


def test_changes_of_one_device_take_no_more_room() -> None:
    """However often a device changes, the memory stays bounded."""
    totals = Totals()
    for time in range(10_000):
        totals.replace("a", Contribution(Outcome.DONE, time, 0, None, time))
    assert len(totals._oldest) < 100
    assert totals.complete_until() == 9_999
