"""Whether a WebSocket answers at the assumed address, in the assumed frames (D9)."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..findings import Finding, Verdict, finding, unknown


def check_stream(evidence: Evidence) -> Iterator[Finding]:
    """Read what came of opening the WebSocket."""
    check, outcome = "stream", evidence.stream
    if outcome is None:
        yield unknown(check, "D9", evidence.why_not(None))
    elif outcome.kind == "not tried":
        yield unknown(check, "D9", outcome.text)
    elif outcome.kind == "understood":
        yield finding(check, "D9", Verdict.OK, outcome.text)
    else:
        text = f"{outcome.text}; a stream needs a protocol of its own (protocol=…)"
        yield finding(check, "D9", Verdict.DIFFERS, text)
