"""What a service answers if no message matches (D4)."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence, Exchange
from ..findings import Finding, Verdict, finding, unknown


def check_emptiness(evidence: Evidence) -> Iterator[Finding]:
    """Read the answer for a device without messages, or for a range without messages."""
    asked = [evidence.nothing, *evidence.newest.values()]
    empty = [each for each in asked if each is not None and evidence.page_rows(each) == []]
    yield _empty(empty[0]) if empty else _none(evidence)


def _empty(exchange: Exchange) -> Finding:
    check = "no match"
    if exchange.status == 404:
        return finding(check, "D4", Verdict.OK, "404 with the API's own error")
    text = f"{exchange.status} with an empty list, not 404; the library reads both"
    return finding(check, "D4", Verdict.DIFFERS, text)


def _none(evidence: Evidence) -> Finding:
    check, nothing = "no match", evidence.nothing
    if nothing is not None and evidence.page_rows(nothing):
        return unknown(check, "D4", "a range before the first message was answered with messages")
    return unknown(check, "D4", evidence.why_not(nothing))
