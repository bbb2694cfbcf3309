"""The order of the history's answer (D13), and whether it understands times in a filter (D14)."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence, times_of
from ..findings import Finding, Verdict, finding, unknown


def check_history(evidence: Evidence) -> Iterator[Finding]:
    """Read the latest messages, and those from a time on."""
    yield _order(evidence)
    yield _filter(evidence)


def _order(evidence: Evidence) -> Finding:
    check, rows = "history order", evidence.history_rows(evidence.latest)
    if rows is None:
        return unknown(check, "D13", evidence.why_not(evidence.latest))
    times = times_of(rows)
    if len(set(times)) < 2:
        return unknown(check, "D13", "the latest messages all have the same time")
    if times == sorted(times, reverse=True):
        return finding(check, "D13", Verdict.OK, "newest first")
    text = "oldest first" if times == sorted(times) else "neither newest nor oldest first"
    return finding(check, "D13", Verdict.DIFFERS, f"{text}; `recent` sorts")


def _filter(evidence: Evidence) -> Finding:
    check, low = "$date in filters", evidence.filtered_from
    latest = evidence.history_rows(evidence.latest)
    found = evidence.history_rows(evidence.filtered)
    if found is None:
        refused = evidence.filtered is not None and evidence.filtered.status == 400
        if refused:
            return finding(check, "D14", Verdict.DIFFERS, "refused (400); use walk(start=…)")
        return unknown(check, "D14", evidence.why_not(evidence.filtered))
    if not found:
        text = "not understood: a range matches nothing; use walk(start=…)"
        return finding(check, "D14", Verdict.DIFFERS, text)
    if any(row.at < low for row in found):
        text = "ignored: messages outside the range come; use walk(start=…)"
        return finding(check, "D14", Verdict.DIFFERS, text)
    if latest is None or all(row.at >= low for row in latest):
        return unknown(check, "D14", "the latest messages all have the same time")
    return finding(check, "D14", Verdict.OK, "understood")
