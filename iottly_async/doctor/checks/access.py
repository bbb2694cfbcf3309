"""Which generation accepts the key, and whether it gives access to the project."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence, Exchange
from ..findings import Finding, Verdict, finding, unknown


def check_access(evidence: Evidence) -> Iterator[Finding]:
    """Read how the first requests of each generation were answered."""
    yield _accepted("key on v1.0", evidence, evidence.ping)
    yield _accepted("key on v1", evidence, evidence.fleet)
    yield _project(evidence)


def _accepted(check: str, evidence: Evidence, exchange: Exchange | None) -> Finding:
    if exchange is None or exchange.answer is None or exchange.is_page:
        return unknown(check, None, evidence.why_not(exchange))
    if exchange.succeeded:
        return finding(check, None, Verdict.OK, "it is accepted")
    if exchange.status in (401, 403):
        return finding(check, None, Verdict.DIFFERS, f"it is refused ({exchange.status})")
    return unknown(check, None, evidence.why_not(exchange))


def _project(evidence: Evidence) -> Finding:
    exchange, check = evidence.project, "project"
    if exchange is None or exchange.answer is None or exchange.is_page:
        return unknown(check, None, evidence.why_not(exchange))
    if exchange.succeeded:
        return finding(check, None, Verdict.OK, "the key gives access to it")
    if exchange.status == 403:
        text = "the key gives no access to it (403); is the id right?"
        return finding(check, None, Verdict.DIFFERS, text)
    if exchange.status == 404:
        return finding(check, None, Verdict.DIFFERS, "there is no such project (404)")
    return unknown(check, None, evidence.why_not(exchange))
