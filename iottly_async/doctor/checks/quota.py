"""The limit headers of each generation, and whether both count in one quota (D1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ..evidence import Evidence, Exchange
from ..findings import Finding, Verdict, finding, unknown

_DOCUMENTED: Final = "x-ratelimit-remaining"
_DELTA_BELOW: Final = 1e8
_MILLISECONDS_FROM: Final = 1e11


def check_quota(evidence: Evidence) -> Iterator[Finding]:
    """Compare the headers of one request of v1.0, one of v1, and one of v1.0."""
    yield _headers(evidence)
    yield _one_quota(evidence)


def _headers(evidence: Evidence) -> Finding:
    check = "limit headers"
    answered = {
        name: exchange
        for name, exchange in (("v1.0", evidence.ping), ("v1", evidence.fleet))
        if exchange is not None and exchange.succeeded
    }
    if not answered:
        return unknown(check, "D1", evidence.why_not(evidence.ping))
    having = [name for name, exchange in answered.items() if exchange.observation is not None]
    if not having:
        text = (
            "no answer has any: the tier has no limit, or the service does not tell it; the "
            "limiter learns from refusals"
        )
        return unknown(check, "D1", text)
    text = f"on {' and '.join(having)}{_limit(answered[having[0]])}"
    odd = _oddity(answered[having[0]])
    if odd:
        return finding(check, "D1", Verdict.DIFFERS, f"{text}; {odd}")
    if len(having) < len(answered):
        missing = next(name for name in answered if name not in having)
        return finding(check, "D1", Verdict.DIFFERS, f"{text}; answers of {missing} have none")
    return finding(check, "D1", Verdict.OK, text)


def _limit(exchange: Exchange) -> str:
    observation = exchange.observation
    if observation is None or observation.limit is None:
        return ""
    ends = _window_end(exchange)
    window = "" if ends is None else f"; the window had {ends:.0f} s left"
    return f": {observation.limit} requests, of which {observation.remaining} were left{window}"


def _window_end(exchange: Exchange) -> float | None:
    observation, answer = exchange.observation, exchange.answer
    if observation is None or answer is None:
        return None
    if observation.relative:
        return observation.reset
    return None if answer.server_time is None else max(observation.reset - answer.server_time, 0.0)


def _oddity(exchange: Exchange) -> str:
    """What the documents do not show about the headers; "" if nothing."""
    headers: Mapping[str, str] = {} if exchange.answer is None else exchange.answer.headers
    if _DOCUMENTED not in headers:
        return "they are spelled as in the IETF's draft, without X-"
    reset = float(headers.get("x-ratelimit-reset", "0"))
    if reset < _DELTA_BELOW:
        return "Reset is in seconds from now, not since the epoch"
    return "Reset is in milliseconds" if reset >= _MILLISECONDS_FROM else ""


def _one_quota(evidence: Evidence) -> Finding:
    check = "one quota"
    exchanges = (evidence.ping, evidence.fleet, evidence.project)
    seen = [None if each is None else each.observation for each in exchanges]
    first, second, third = seen
    if first is None or second is None or third is None:
        return unknown(check, "D1", "not all answers have limit headers")
    counts = (first.remaining, second.remaining, third.remaining)
    if first.limit == second.limit == third.limit and counts[1:] == (counts[0] - 1, counts[0] - 2):
        text = "v1.0 and v1 count in the same quota"
        return finding(check, "D1", Verdict.OK, text)
    if counts[2] == counts[0] - 1 and counts[1] not in (counts[0], counts[0] - 1):
        text = "v1.0 and v1 have a quota each, and the limiter counts in one"
        return finding(check, "D1", Verdict.DIFFERS, text)
    return unknown(
        check, "D1", "the counts do not tell: others use the key, or a window ended meanwhile"
    )
