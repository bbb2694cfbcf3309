"""How far a walk in order looks ahead, and what a lookahead page shows."""

from hypothesis import given
from hypothesis import strategies as st

from iottly_async.walk.axis import ASCENDING
from iottly_async.walk.strategy.lookahead import GAP, Lookahead, read_lookahead

from ..pages import ZERO, page_of


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12),
    st.integers(0, 45),
    st.integers(1, 45),
    st.booleans(),
)
def test_a_lookahead_page_is_data_only_where_it_is_whole(
    times: list[int], frontier: int, length: int, full: bool
) -> None:
    """It is whole between its first and its last millisecond, or up to the end if it is the
    last page. The gap before it and its own interval lie end to end from the frontier."""
    begin, end = ZERO + frontier, ZERO + frontier + length
    page = page_of(*sorted(times))
    found = read_lookahead(page, begin, end, full=full, axis=ASCENDING)
    complete = found.complete
    assert begin <= found.gap_end <= complete.end <= end
    assert complete.start == found.gap_end
    got = [round(message.timestamp.timestamp() * 1000) for message in complete.messages]
    assert got == [ZERO + at for at in sorted(times) if found.gap_end <= ZERO + at < complete.end]
    if complete.end > found.gap_end:
        assert found.gap_end > page.first
        assert not full or complete.end <= page.last


def test_the_lookahead_grows_while_it_finds_messages() -> None:
    """The gap grows up to its limit, and so does the number of pages, as far as messages are
    expected. An empty page halves the gap."""
    lookahead = Lookahead(0, 100)
    lookahead.note_messages(10_000)
    gaps, many = [], []
    for _ in range(5):
        plan = lookahead.plan(10_000, 10_000_000, 32)
        gaps.append(plan.gap)
        many.append(len(plan.numbers))
        lookahead.note_found(plan, advanced=True)
    assert gaps == [1, 4, GAP, GAP, GAP]
    assert many == [1, 4, 10, 10, 10]
    assert len(lookahead.plan(10_000, 10_500, 32).numbers) == 1
    lookahead.note_missed()
    assert lookahead.gap == GAP // 2
