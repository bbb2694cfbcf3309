"""The order of messages that share a millisecond (D6), and what the sample looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..choices import tied
from ..evidence import Evidence, SampleRow, largest_tie, times_of
from ..findings import Finding, Verdict, finding, unknown


def check_ties(evidence: Evidence) -> Iterator[Finding]:
    """Compare answers to the same request, and measure the sample."""
    yield _order(evidence)
    yield _sample(evidence)


def _order(evidence: Evidence) -> Finding:
    check, rows = "tie order", evidence.page_rows(evidence.oldest)
    repeats = [evidence.page_rows(exchange) for exchange in evidence.repeats]
    read = [each for each in repeats if each is not None]
    if not rows or not read:
        no_tie = "no two different messages of one page share a millisecond"
        untied = "" if not rows or tied(rows) else no_tie
        return unknown(check, "D6", evidence.why_not(evidence.oldest if not rows else None, untied))
    if any(times_of(each) != times_of(rows) for each in read):
        return unknown(check, "D6", "messages came or went between the requests")
    # A tie at the end of a full page may go on behind it, in any order.
    whole = _without_last_tie(rows)
    if all(each[: len(whole)] == whole for each in read):
        times = "twice" if len(read) == 1 else f"{len(read) + 1} times"
        text = f"the same, asked {times}; the library does not rely on it"
        return finding(check, "D6", Verdict.OK, text)
    text = "messages of one millisecond change their order between requests"
    return finding(check, "D6", Verdict.DIFFERS, text)


def _without_last_tie(rows: Sequence[SampleRow]) -> Sequence[SampleRow]:
    return [row for row in rows if row.at != rows[-1].at]


def _sample(evidence: Evidence) -> Finding:
    check = "sample"
    pages = [evidence.newest.get(evidence.device_id), evidence.oldest]
    read = [rows for rows in map(evidence.page_rows, pages) if rows]
    if not read:
        return unknown(check, None, evidence.why_not(None))
    gaps = [
        abs(later - earlier)
        for rows in read
        for earlier, later in zip(times_of(rows), times_of(rows)[1:], strict=False)
    ]
    text = (
        f"{sum(map(len, read))} messages; the longest gap is {max(gaps, default=0) / 1000:,.0f} s; "
        f"at most {max(map(largest_tie, read))} share a millisecond"
    )
    return finding(check, None, Verdict.OK, text)
