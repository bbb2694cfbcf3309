"""What the doctor says about a WebSocket: understood, or opened and speaking something else."""

from __future__ import annotations

import pytest

from iottly_async.doctor import Verdict, diagnose
from iottly_async.doctor import sender as doctor_sender
from tests.stream.scripted_service import Script, Service, Socket, good, sending, session_with

from .examined import by_check


async def closing(socket: Socket) -> None:
    """Close at once, with a code."""
    await socket.close(code=4400)


@pytest.mark.parametrize(
    ("script", "verdict", "words"),
    [
        (good, Verdict.OK, "confirmed the subscription"),
        (sending("[1, 2]"), Verdict.DIFFERS, "a frame of another protocol"),
        (closing, Verdict.DIFFERS, "was closed with code 4400"),
        (sending('{"type":"other"}'), Verdict.DIFFERS, "did not confirm the subscription"),
    ],
    ids=["understood", "other frames", "closed", "unconfirmed"],
)
async def test_what_comes_of_the_stream(
    script: Script, verdict: Verdict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection is opened and closed again, whatever it says."""
    if "confirm the" in words:
        monkeypatch.setattr(doctor_sender, "_FRAME_WAIT", 0.05)
    service = Service(script)
    async with session_with(service) as session:
        diagnosis = await diagnose(session, "p")
    told = by_check(diagnosis)["stream"]
    assert told.verdict is verdict
    assert words in told.evidence
    assert [each.path for each in service.requests].count("/v1/stream") == 1
    assert diagnosis.requests[-1].request == "GET /v1/stream"
