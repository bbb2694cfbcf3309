"""Compression, kept connections, latency, and how many requests at once are worth it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from statistics import median
from typing import Final

from ...wire import one_line
from ..evidence import Evidence, Exchange
from ..findings import Finding, Verdict, finding, unknown

_WINDOW: Final = 60.0
"""Seconds of the documented window."""

_ENOUGH: Final = 5
"""Requests after which a connection should have been used twice."""

_WITHOUT_LIMIT: Final = 8


def check_connections(evidence: Evidence) -> Iterator[Finding]:
    """Read the headers of all answers, and measure their time."""
    answered = [each for each in evidence.exchanges if each.answer is not None]
    if not answered:
        for check in ("compression", "connections", "latency"):
            yield unknown(check, None, evidence.why_not(evidence.ping))
        return
    yield _compression(answered)
    yield _kept(evidence, answered)
    yield _latency(answered)


def _headers(exchange: Exchange) -> Mapping[str, str]:
    return {} if exchange.answer is None else exchange.answer.headers


def _compression(answered: Sequence[Exchange]) -> Finding:
    codings = sorted({_headers(each).get("content-encoding", "none") for each in answered})
    return finding("compression", None, Verdict.OK, one_line(", ".join(codings)))


def _kept(evidence: Evidence, answered: Sequence[Exchange]) -> Finding:
    check, versions = "connections", _versions(answered)
    if any(each.kept for each in answered):
        said = {one_line(_headers(each).get("keep-alive", ""))[:40] for each in answered} - {""}
        how = f" ({', '.join(sorted(said))})" if said else ""
        return finding(check, None, Verdict.OK, f"{versions}kept for further requests{how}")
    announced = all(_headers(each).get("connection", "").lower() == "close" for each in answered)
    if len(answered) < _ENOUGH or not (announced or evidence.pools):
        text = f"{versions}too few requests to tell whether connections are kept"
        return unknown(check, None, text)
    text = f"{versions}each is closed after one request, so that each request costs a connection"
    return finding(check, None, Verdict.DIFFERS, text)


def _versions(answered: Sequence[Exchange]) -> str:
    """The versions of HTTP, to begin a text with; "" if they are not known."""
    found = sorted({each.version for each in answered if each.version is not None})
    return "".join(f"HTTP/{major}.{minor}; " for major, minor in found)


def _latency(answered: Sequence[Exchange]) -> Finding:
    seconds = median(each.seconds for each in answered)
    limits = [each.observation.limit for each in answered if each.observation is not None]
    limit = limits[-1] if limits else None
    text = f"{seconds * 1000:.0f} ms at the median; "
    if limit is None:
        text += f"no limit is known: concurrency={_WITHOUT_LIMIT} is a start"
    else:
        worth = ceil(limit / _WINDOW * seconds) + 1
        text += (
            f"{limit} requests a minute are used up by {worth} at once"
            if worth <= _WITHOUT_LIMIT * 4
            else f"{limit} requests a minute are more than {_WITHOUT_LIMIT * 4} at once use up"
        )
    return finding("latency", None, Verdict.OK, text)
