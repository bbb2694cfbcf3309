"""What a diagnosis shows of its requests: no key, no id, no payload. Pure."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any, Final

from .._version import __version__
from ..wire import one_line
from .evidence import Evidence, Exchange
from .findings import Diagnosis, SentRequest
from .plan import STREAM

_SHOWN_HEADERS: Final = (
    *("connection", "content-encoding", "content-type", "date", "keep-alive"),
    *("ratelimit", "ratelimit-policy"),
    *("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "server"),
    *("transfer-encoding", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
_LONGEST_HEADER: Final = 80


def sent_requests(evidence: Evidence) -> tuple[SentRequest, ...]:
    """The requests that were sent, without ids and without values of parameters."""
    shown = [_shown(exchange) for exchange in evidence.exchanges]
    stream = evidence.stream
    if stream is not None and stream.kind != "not tried":
        request, seconds = STREAM.route.template, round(stream.seconds, 4)
        failure = None if stream.status is not None else "TransportError"
        shown.append(
            SentRequest(request=request, status=stream.status, seconds=seconds, failure=failure)
        )
    return tuple(shown)


def _shown(exchange: Exchange) -> SentRequest:
    headers = {} if exchange.answer is None else exchange.answer.headers
    query = "&".join(f"{name}=…" for name in exchange.parameters)
    return SentRequest(
        request=exchange.step.route.template + (f"?{query}" if query else ""),
        status=exchange.status,
        seconds=round(exchange.seconds, 4),
        headers={
            name: one_line(headers[name])[:_LONGEST_HEADER]
            for name in _SHOWN_HEADERS
            if name in headers
        },
        failure=exchange.failure or None,
    )


def report_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """A report to attach to a bug: the diagnosis, and the versions that made it.

    Args:
        diagnosis: what was found.

    Returns:
        Values of JSON. Ids are replaced by their names in braces, and there is no key, no
        payload, no value of a message and no address of the service.
    """
    return {
        "iottly_async": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "aiohttp": version("aiohttp"),
        **diagnosis.to_dict(),
        "settings": diagnosis.settings,
    }
