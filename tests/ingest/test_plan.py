"""Plans: where a run ends, and where each device goes on."""

from __future__ import annotations

import pytest
from attrs import evolve

from iottly_async.errors import ConfigurationError, CursorMismatchError
from iottly_async.ingest import IngestPlan, Query
from iottly_async.ingest.plan import check_server, cursor_for, next_plan
from iottly_async.models import Cursor

NOW = 1_780_000_000.0
NOW_MS = int(NOW * 1000)
OPEN = Query(project_id="p")


def plan(end: int, *, query: Query = OPEN, ended: bool = True) -> IngestPlan:
    """A plan in a store."""
    return IngestPlan(query=query, pinned_end=end, ended=ended)


def cursor(*remaining: tuple[int, int], end: int, pinned: int | None = None) -> Cursor:
    """A cursor in a store, of a walk to `end`."""
    return Cursor(
        project_id="p",
        device_id="d",
        type="all",
        order="asc",
        start=None,
        end=end,
        remaining=remaining,
        pinned_end=end if pinned is None else pinned,
        count=7,
    )


def next_end(query: Query = OPEN, last: IngestPlan | None = None) -> int:
    """The end of the next run."""
    return next_plan(query, last, server_now=NOW, settle=5.0).pinned_end


def test_an_open_range_ends_at_the_servers_settled_now() -> None:
    """A first run without an end goes to the server's present time less `settle` (D11)."""
    assert next_end() == NOW_MS - 5000


def test_an_end_in_the_past_is_kept() -> None:
    """A first run with an end in the past goes to that end."""
    assert next_end(Query(project_id="p", end=1000)) == 1000


def test_an_end_in_the_future_is_not_waited_for() -> None:
    """A first run with an end in the future goes to the present time less `settle`."""
    assert next_end(Query(project_id="p", end=NOW_MS + 10**9)) == NOW_MS - 5000


def test_a_run_that_was_killed_keeps_its_end() -> None:
    """A run that is resumed has the same range, whatever time it is."""
    assert next_end(last=plan(1000, ended=False)) == 1000


def test_the_run_after_a_complete_one_goes_to_the_present() -> None:
    """The next run fetches what is new since the last one."""
    assert next_end(last=plan(1000)) == NOW_MS - 5000


def test_the_end_never_goes_back() -> None:
    """If the server's clock steps back, the end stays."""
    assert next_end(last=plan(NOW_MS - 3000)) == NOW_MS - 3000


def test_a_later_end_extends_the_range() -> None:
    """A store that was filled to one end can be filled to a later one."""
    march, april = Query(project_id="p", end=1000), Query(project_id="p", end=2000)
    assert next_end(april, plan(1000, query=march)) == 2000


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (Query(project_id="q"), "project_id is 'p' there and 'q' here"),
        (Query(project_id="p", type="userdefined"), "type is 'all' there"),
        (Query(project_id="p", start=0), "start is open there and 1970-01-01T00:00:00.000Z here"),
        (Query(project_id="p", end=999), "it holds messages up to 1970-01-01T00:00:01.000Z"),
    ],
)
def test_another_query_is_refused(query: Query, reason: str) -> None:
    """The error names another project, type or start, or an end before what is stored."""
    with pytest.raises(CursorMismatchError, match=reason):
        next_end(query, plan(1000))


@pytest.mark.parametrize("ended", [True, False])
def test_an_end_far_in_the_future_is_not_kept(ended: bool) -> None:
    """A wrong clock has set it. The next run goes to the present, whatever end it names."""
    last = plan(NOW_MS + 3_600_000, ended=ended)
    assert next_end(last=last) == NOW_MS - 5000
    assert next_end(Query(project_id="p", end=1000), last) == 1000


def test_a_store_from_another_server_is_refused() -> None:
    """A message in the future of the server and of this machine is another server's."""
    saved = evolve(cursor(end=NOW_MS), newest=NOW_MS + 3_600_000)
    check_server([cursor(end=1), saved], server_now=NOW, local_now=NOW + 3600)
    check_server([cursor(end=1), saved], server_now=NOW + 3600, local_now=NOW)
    with pytest.raises(CursorMismatchError, match="filled from another server"):
        check_server([cursor(end=1), saved], server_now=NOW, local_now=NOW)


def test_a_start_in_the_future_is_refused() -> None:
    """A start in the server's future is an error, and not a run without messages."""
    with pytest.raises(ConfigurationError, match="must lie before the server's now"):
        next_end(Query(project_id="p", start=NOW_MS))


def test_a_plan_survives_its_json() -> None:
    """A plan that was written is read back as an equal value."""
    whole = plan(5, query=Query(project_id="p", type="userdefined", start=1, end=9), ended=False)
    assert IngestPlan.from_json(whole.to_json()) == whole


@pytest.mark.parametrize("text", ["", "[]", "{}", plan(1).to_json().replace('n":1', 'n":9')])
def test_a_text_that_is_not_a_plan_is_refused(text: str) -> None:
    """A malformed text, or one of another version, raises an error."""
    with pytest.raises(CursorMismatchError):
        IngestPlan.from_json(text)


def test_a_device_without_a_cursor_begins_at_the_start() -> None:
    """Its walk begins at the start of the range."""
    assert cursor_for(plan(1000), "d", None) is None


def test_a_cursor_with_the_same_end_is_used_as_it_is() -> None:
    """A resumed run goes on exactly at its cursor."""
    saved = cursor((400, 1000), end=1000)
    assert cursor_for(plan(1000), "d", saved) is saved


@pytest.mark.parametrize(
    ("saved", "remaining"),
    [
        (cursor(end=1000), ((1000, 3000),)),
        (cursor((400, 1000), end=1000), ((400, 3000),)),
        (cursor((100, 200), end=1000), ((100, 200), (1000, 3000))),
        (cursor((100, 200), end=2000, pinned=1500), ((100, 200), (1500, 3000))),
    ],
)
def test_a_cursor_with_an_earlier_end_is_extended(
    saved: Cursor, remaining: tuple[tuple[int, int], ...]
) -> None:
    """Its remaining intervals stay, and the interval to the new end is added."""
    extended = cursor_for(plan(3000), "d", saved)
    assert extended is not None
    assert (extended.remaining, extended.end, extended.pinned_end) == (remaining, 3000, 3000)
    assert extended.count == 7


@pytest.mark.parametrize(
    ("recent_from", "remaining"),
    [(900, ((900, 3000),)), (1000, ((1000, 3000),)), (150, ((100, 3000),))],
)
def test_a_run_goes_on_behind_the_newest_message(
    recent_from: int, remaining: tuple[tuple[int, int], ...]
) -> None:
    """Where the last run ended does not count, and what remained of it is fetched too (D11)."""
    saved = evolve(cursor((100, 200), end=1000), newest=899, recent_from=recent_from)
    if recent_from != 150:
        saved = evolve(saved, remaining=())
    extended = cursor_for(plan(3000), "d", saved)
    assert extended is not None
    assert extended.remaining == remaining


def test_an_earlier_end_cuts_what_remains() -> None:
    """The end may go back, if a wrong clock had set it."""
    saved = cursor((100, 200), (400, 9000), end=9000)
    earlier = cursor_for(plan(3000), "d", saved)
    assert earlier is not None
    assert (earlier.remaining, earlier.pinned_end) == (((100, 200), (400, 3000)), 3000)


def test_an_altered_cursor_is_refused() -> None:
    """A cursor of another query than the plan beside it was not written by a job."""
    with pytest.raises(CursorMismatchError, match="altered"):
        cursor_for(plan(1000, query=Query(project_id="q")), "d", cursor(end=1000))
