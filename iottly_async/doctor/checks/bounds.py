"""Which forms of `from` and `to` a service understands, how precisely, and its bounds (D2)."""

from __future__ import annotations

from collections.abc import Iterator

from ..bound_reading import read_bound
from ..choices import best_form
from ..evidence import Evidence, times_of
from ..findings import Finding, Verdict, finding, unknown

_DEFAULT = "iso"
_TOO_SMALL = "the sample has too few messages at different times"


def check_bounds(evidence: Evidence) -> Iterator[Finding]:
    """Read the answers for each form of time, and the one with both bounds."""
    rows = evidence.page_rows(evidence.oldest)
    if rows is None:
        why = evidence.why_not(evidence.oldest)
        yield unknown("times in requests", "D2", why)
        yield unknown("bounds", "D2", why)
        return
    yield _forms(evidence)
    yield _range(evidence)


def _forms(evidence: Evidence) -> Finding:
    check, rows, pivot = "times in requests", evidence.page_rows(evidence.oldest) or [], None
    pivot = evidence.pivot
    if pivot is None or not evidence.forms:
        return unknown(check, "D2", evidence.stopped or _TOO_SMALL)
    readings = {
        form: read_bound(evidence.page_rows(exchange), rows, pivot, exchange.status)
        for form, exchange in evidence.forms.items()
    }
    text = "; ".join(f"{form}: {reading.text}" for form, reading in readings.items())
    if _DEFAULT not in readings or readings[_DEFAULT].unit == 1:
        verdict = Verdict.OK if _DEFAULT in readings else Verdict.UNKNOWN
        return finding(check, "D2", verdict, text)
    best = best_form(evidence, rows)
    if best is None:
        return finding(check, "D2", Verdict.DIFFERS, f"{text}. No form is understood")
    setting = None if best == _DEFAULT else ("timestamp_format", best)
    return finding(check, "D2", Verdict.DIFFERS, text, setting)


def _range(evidence: Evidence) -> Finding:
    check, rows, span = "bounds", evidence.page_rows(evidence.oldest) or [], evidence.span
    found = evidence.page_rows(evidence.range)
    if span is None or found is None:
        needs = "" if evidence.stopped or evidence.range else _TOO_SMALL
        return unknown(check, "D2", evidence.why_not(evidence.range, needs))
    low, high = rows[span.start].at, rows[span.stop].at
    times = times_of(found)
    wrong = []
    if low not in times:
        wrong.append("`from` excludes its own millisecond")
    if high in times:
        wrong.append("`to` includes its own millisecond")
    if any(at < low for at in times):
        wrong.append("messages before `from` are answered")
    if any(at > high for at in times):
        wrong.append("messages after `to` are answered")
    if not wrong and times != times_of(rows[span]):
        wrong.append("the messages between the bounds are not those of the whole page")
    if wrong:
        return finding(check, "D2", Verdict.DIFFERS, "; ".join(wrong))
    text = "`from` is inclusive and `to` exclusive, to the millisecond"
    return finding(check, "D2", Verdict.OK, text)
