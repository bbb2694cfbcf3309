"""Where page numbers start, whether pages hold together, and how large they may be (D3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..evidence import Evidence, times_of
from ..findings import Finding, Verdict, finding, unknown

_ASKED: Final = 100


def check_pages(evidence: Evidence) -> Iterator[Finding]:
    """Compare numbered pages with the first page, and page lengths with what was asked for."""
    yield _numbers(evidence)
    yield _size(evidence)
    yield _fleet(evidence)


def _numbers(evidence: Evidence) -> Finding:
    check, rows = "page numbers", evidence.page_rows(evidence.oldest)
    pages = [evidence.page_rows(exchange) for exchange in evidence.numbers]
    if not rows or (not evidence.block and evidence.stopped is None):
        needs = "" if rows is None else "the sample does not tell pages apart"
        return unknown(check, "D3", evidence.why_not(evidence.oldest, needs))
    if len(pages) < 2 or pages[0] is None or pages[1] is None:
        refused = [each for each in evidence.numbers if evidence.page_rows(each) is None]
        return unknown(check, "D3", evidence.why_not(refused[0] if refused else None))
    one, two = times_of(pages[0]), times_of(pages[1])
    block = evidence.block
    first, second, third = (
        times_of(rows[block * number : block * (number + 1)]) for number in range(3)
    )
    if (one, two) == (first, second):
        return finding(check, "D3", Verdict.OK, "they start at 1, and pages hold together")
    if (one, two) == (second, third):
        text = "they start at 0, and pages hold together"
        return finding(check, "D3", Verdict.DIFFERS, text, ("first_page", 0))
    if one == two == first:
        text = "they are ignored: each page is the first"
        return finding(check, "D3", Verdict.DIFFERS, text)
    text = "pages 1 and 2 are not the first parts of a larger page"
    return finding(check, "D3", Verdict.DIFFERS, text)


def _size(evidence: Evidence) -> Finding:
    check = "page size"
    newest = evidence.page_rows(evidence.newest.get(evidence.device_id))
    oldest = evidence.page_rows(evidence.oldest)
    if not oldest or not newest:
        return unknown(check, None, evidence.why_not(evidence.oldest))
    if len(oldest) > _ASKED:
        text = f"a page has {len(oldest)} messages where {_ASKED} were asked for"
        return finding(check, None, Verdict.DIFFERS, text)
    if len(oldest) == _ASKED:
        text = f"a page has up to {_ASKED} messages"
        return finding(check, None, Verdict.OK, text)
    if max(row.at for row in newest) > max(row.at for row in oldest):
        text = f"a page has at most {len(oldest)} messages"
        return finding(check, None, Verdict.DIFFERS, text, ("page_size", len(oldest)))
    return unknown(check, None, "the sample has fewer messages than a page")


def _fleet(evidence: Evidence) -> Finding:
    check, exchange = "fleet pages", evidence.fleet
    page = evidence.fleet_page()
    if page is None:
        return unknown(check, None, evidence.why_not(exchange))
    shown, total = len(page.devices), page.total
    if shown == min(total, _ASKED):
        return finding(check, None, Verdict.OK, "as long as asked for, or as the fleet")
    text = f"a page has {shown} devices where {min(total, _ASKED)} were expected"
    return finding(check, None, Verdict.DIFFERS, text)
