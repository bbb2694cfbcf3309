"""The doctor ends with what it knows: behind a proxy, without a key, messages, quota or service."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from iottly_async import ConfigurationError, IottlySession, SessionClosedError
from iottly_async.doctor import Diagnosis, Verdict, diagnose
from iottly_async.emulator import Emulator
from tests.support.virtual_time import run_virtual

from .examined import by_check, checks, examine, examine_emulator

SMALL: dict[str, Any] = {"devices": 2, "messages": 300}


def never_changed(emulator: Emulator, diagnosis: Diagnosis) -> None:
    """At most 40 requests were sent, as many as the diagnosis says, and none changes anything."""
    assert len(emulator.requests) == len(diagnosis.requests) <= 40
    assert {request.method for request in emulator.requests} <= {"GET"}


@pytest.mark.parametrize("status", [200, 403, 404, 502])
async def test_a_proxy_that_answers_html(status: int) -> None:
    """Nothing is taken for an answer of the API, and everything is unknown."""
    async with Emulator(**SMALL) as emulator:
        emulator.fault("html", status=status, count=None)
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
    told = {found.check for found in diagnosis.findings if found.verdict is not Verdict.UNKNOWN}
    assert told <= {"stream", "compression", "connections", "latency"}
    assert "not the API's own" in by_check(diagnosis)["key on v1.0"].evidence
    assert diagnosis.settings == {}


@pytest.mark.parametrize("kind", ["garbage", "empty", "cut"])
async def test_answers_that_cannot_be_read(kind: Any) -> None:
    """An answer that is no JSON, empty or cut gives no setting and no error."""
    async with Emulator(**SMALL) as emulator:
        emulator.fault(kind, count=None)
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
    assert diagnosis.settings == {}
    assert by_check(diagnosis)["page numbers"].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("kind", ["garbage", "html", "status", "cut", "reset"])
@pytest.mark.parametrize("skip", range(0, 20, 3))
async def test_a_fault_within_the_diagnosis_changes_no_finding(kind: Any, skip: int) -> None:
    """One failed request makes a check unknown, or is repeated; no check differs by it."""
    async with Emulator(**SMALL, rate_limit="pro") as emulator:
        emulator.fault(kind, skip=skip, count=1)
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
    assert checks(diagnosis, Verdict.DIFFERS) - {"stream"} == set()
    assert diagnosis.settings == {}


async def test_a_wrong_key_ends_it_after_three_requests() -> None:
    """Both generations refuse the key, which the evidence says."""
    async with Emulator(**SMALL) as emulator:
        diagnosis = await examine(emulator.base_url, "ik_live_wrong", emulator.project_id)
        never_changed(emulator, diagnosis)
        assert len(emulator.requests) == 3
    assert diagnosis.stopped == "both generations refuse the key"
    assert checks(diagnosis, Verdict.DIFFERS) >= {"key on v1.0", "key on v1"}
    assert "ik_live_wrong" not in diagnosis.to_json()


async def test_another_project_is_told() -> None:
    """The key is accepted and gives no access to the project."""
    async with Emulator(**SMALL) as emulator:
        diagnosis = await examine(emulator.base_url, emulator.api_key, "another")
        never_changed(emulator, diagnosis)
    assert checks(diagnosis, Verdict.DIFFERS) == {"project"}


@pytest.mark.parametrize("settings", [{"devices": 0, "messages": 0}, {"devices": 9, "messages": 0}])
async def test_a_project_without_messages(settings: dict[str, Any]) -> None:
    """What needs no messages is found out; the rest is unknown, and says why."""
    async with Emulator(**settings) as emulator:
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
    found = by_check(diagnosis)
    assert checks(diagnosis, Verdict.DIFFERS) == set()
    assert found["stream"].verdict is Verdict.OK
    assert found["page numbers"].evidence == "not asked: no device has messages that can be read"
    assert found["no match"].verdict is (Verdict.OK if settings["devices"] else Verdict.UNKNOWN)


@pytest.mark.parametrize("messages", range(1, 7))
async def test_a_few_messages_are_a_small_sample(messages: int) -> None:
    """A handful of messages gives fewer answers, and never a wrong one."""
    for first_page in (0, 1):
        async with Emulator(devices=1, messages=messages, first_page=first_page) as emulator:
            diagnosis = await examine_emulator(emulator)
            never_changed(emulator, diagnosis)
        wrong = {} if first_page else {"first_page": 0}
        assert diagnosis.settings in ({}, wrong)
        assert checks(diagnosis, Verdict.DIFFERS) <= ({"page numbers"} if not first_page else set())


async def test_one_request_left() -> None:
    """If no quota comes in time, it does not wait, and ends with what it knows."""
    async with Emulator(**SMALL, rate_limit=1, rate_window=3600.0) as emulator:
        emulator.clock.pin(datetime(2026, 5, 1, 12, 30, tzinfo=UTC))
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
        assert len(emulator.requests) == 1
    assert diagnosis.stopped is not None
    assert diagnosis.stopped.startswith("the quota is used up; the next request could be sent in")
    found = by_check(diagnosis)
    assert found["key on v1.0"].verdict is Verdict.OK
    assert found["page numbers"].evidence == f"not asked: {diagnosis.stopped}"


async def test_without_patience_it_ends_at_the_limit() -> None:
    """Seven requests a minute are sent, and no eighth is waited for."""
    async with Emulator(**SMALL, rate_limit=7, rate_window=3600.0) as emulator:
        diagnosis = await examine_emulator(emulator, patience=0)
        never_changed(emulator, diagnosis)
        assert len(emulator.requests) <= 7
        assert all(request.status == 200 for request in emulator.requests)
    assert diagnosis.stopped is not None


async def test_refusals_without_headers_end_it() -> None:
    """A proxy that refuses every request is asked a few times and left."""
    async with Emulator(**SMALL) as emulator:
        emulator.fault("status", status=429, count=None)
        diagnosis = await examine_emulator(emulator, patience=0)
        never_changed(emulator, diagnosis)
        assert len(emulator.requests) <= 3
    assert diagnosis.stopped is not None


async def test_errors_of_the_service_are_repeated_a_few_times() -> None:
    """Pages that are always answered by 500 are asked for once, and five of them twice."""
    async with Emulator(devices=9, messages=300) as emulator:
        emulator.fault("status", route="paginated", status=500, count=None)
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
        pages = [each for each in emulator.requests if each.route == "paginated"]
    assert len(pages) == 6 + 5
    assert by_check(diagnosis)["no match"].verdict is Verdict.UNKNOWN


async def test_a_service_that_is_away() -> None:
    """Two requests without an answer end it."""
    diagnosis = await examine("http://127.0.0.1:1", "ik_live_x", "project")
    assert len(diagnosis.requests) == 2
    assert diagnosis.stopped is not None
    assert diagnosis.stopped == (
        "the service does not answer (ConnectError); the error of a ping says more"
    )
    assert "127.0.0.1" not in diagnosis.to_json()
    assert checks(diagnosis, Verdict.UNKNOWN) == set(by_check(diagnosis))


def test_a_service_that_hangs() -> None:
    """Each attempt has its time limit, and two of them end it."""

    async def main() -> Diagnosis:
        async with Emulator(**SMALL) as emulator:
            emulator.fault("stall", count=None)
            return await examine_emulator(emulator)

    diagnosis = run_virtual(main, listens=True)
    assert diagnosis.stopped is not None
    assert "does not answer (DeadlineExceededError)" in diagnosis.stopped
    assert len(diagnosis.requests) == 2


@pytest.mark.parametrize("seconds", [100.0, 101.5])
def test_a_slow_service_ends_it_in_time(seconds: float) -> None:
    """The time limit holds for all requests together, also within one, and says so."""

    async def main() -> tuple[Diagnosis, float, int]:
        async with Emulator(**SMALL, latency=19.0) as emulator:
            begun = asyncio.get_running_loop().time()
            diagnosis = await examine_emulator(emulator, timeout=seconds)
            lasted = asyncio.get_running_loop().time() - begun
            return diagnosis, lasted, len(emulator.requests)

    diagnosis, lasted, asked = run_virtual(main, listens=True)
    assert seconds <= lasted < seconds + 1
    assert diagnosis.stopped == f"the time limit of {seconds:g} s is over"
    assert len(diagnosis.requests) == 6 >= asked
    assert by_check(diagnosis)["key on v1.0"].verdict is Verdict.OK


async def test_version_compression_and_kept_connections_are_told(emulator: Emulator) -> None:
    """The evidence names the version of HTTP, whether connections are kept, and the coding."""
    found = by_check(await examine_emulator(emulator))
    assert found["connections"].evidence.startswith("HTTP/1.1; kept for further requests")
    assert found["compression"].evidence == "none"


async def test_a_redirect_is_not_followed() -> None:
    """A redirect is not the API's own answer, and the key goes nowhere else."""
    async with Emulator(**SMALL) as other, Emulator(**SMALL) as emulator:
        emulator.fault("html", status=302, headers={"Location": other.base_url}, count=None)
        diagnosis = await examine_emulator(emulator)
        never_changed(emulator, diagnosis)
        assert not other.requests
    assert "302, not the API's own" in by_check(diagnosis)["key on v1.0"].evidence


async def test_nothing_of_the_service_is_in_the_result(emulator: Emulator) -> None:
    """Neither the key, nor ids, names, tokens or payloads are in a diagnosis."""
    diagnosis = await examine_emulator(emulator)
    text = diagnosis.to_json()
    secrets = [emulator.api_key, emulator.project_id, *emulator.device_ids, *emulator.fleet_ids]
    assert [secret for secret in secrets if secret in text] == []
    assert "temperature" not in text


async def test_wrong_arguments_are_refused_before_anything_is_sent(
    emulator: Emulator, session: IottlySession
) -> None:
    """A project that cannot stand in a path, and a negative patience, send nothing."""
    with pytest.raises(ConfigurationError, match="project must be an id"):
        await diagnose(session, "a/b")
    with pytest.raises(ConfigurationError, match="patience must be 0 or more"):
        await diagnose(session, emulator.project_id, patience=-1)
    with pytest.raises(ConfigurationError, match="timeout must be more than 0"):
        await diagnose(session, emulator.project_id, timeout=0)
    assert not emulator.requests


async def test_a_session_that_closes_ends_it(emulator: Emulator, session: IottlySession) -> None:
    """A closed session is an error, not a finding."""
    await session.ping()
    await session.aclose()
    with pytest.raises(SessionClosedError):
        await diagnose(session, emulator.project_id)
