"""The doctor against the emulator: as documented, and with each of its deviations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.doctor import Verdict, diagnose, plan
from iottly_async.emulator import Emulator

from .examined import NEVER_TOLD, by_check, checks, examine_emulator

DOCUMENTED: dict[str, Any] = {"devices": 3, "messages": 2000, "rate_limit": "pro"}

# The setting of the emulator, the check that names it, a part of the evidence, and what to set.
DEVIATIONS: list[tuple[dict[str, Any], str, str, dict[str, Any]]] = [
    ({"first_page": 0}, "page numbers", "start at 0", {"first_page": 0}),
    ({"round_from": True}, "times in requests", "iso: rounded down to", {}),
    ({"page_size_cap": 40}, "page size", "at most 40", {"page_size": 40}),
    ({"unstable_ties": True}, "tie order", "change their order", {}),
    ({"history_order": "oldest-first"}, "history order", "oldest first", {}),
    ({"plain_filters": True}, "$date in filters", "not understood", {}),
    ({"extra_fields": True}, "fields", "gateway, qos", {}),
    ({"date_form": "epoch-ms"}, "times in answers", "$date with epoch milliseconds", {}),
    ({"date_form": "numberLong"}, "times in answers", "$date with $numberLong", {}),
    ({"rate_headers": "v1"}, "limit headers", "answers of v1.0 have none", {}),
    ({"clock_offset": 90.0}, "clock", "s ahead of this machine", {}),
    ({"clock_offset": -90.0}, "clock", "s behind this machine", {}),
]


async def test_a_service_as_documented_differs_in_nothing() -> None:
    """Every check is ok, but for messages that did not arrive; nothing is to be set."""
    async with Emulator(**DOCUMENTED) as emulator:
        diagnosis = await examine_emulator(emulator)
        methods = {request.method for request in emulator.requests}
    assert checks(diagnosis, Verdict.DIFFERS) == set()
    assert checks(diagnosis, Verdict.UNKNOWN) == NEVER_TOLD
    assert diagnosis.settings == {}
    assert methods == {"GET"}


@pytest.mark.parametrize(
    ("settings", "check", "words", "follows"), DEVIATIONS, ids=[str(each[0]) for each in DEVIATIONS]
)
async def test_a_deviation_is_named_and_nothing_else(
    settings: dict[str, Any], check: str, words: str, follows: dict[str, Any]
) -> None:
    """One check differs, its evidence says how, and the setting follows."""
    async with Emulator(**{**DOCUMENTED, **settings}) as emulator:
        first = datetime(2026, 3, 1, 12, tzinfo=UTC)  # before all others
        tie = [{"timestamp": first, "payload": {"n": n}} for n in range(8)]
        emulator.append(emulator.device_ids[0], tie)
        diagnosis = await examine_emulator(emulator)
    assert checks(diagnosis, Verdict.DIFFERS) == {check}
    assert words in by_check(diagnosis)[check].evidence
    assert diagnosis.settings == follows


async def test_limits_that_nothing_tells_are_unknown() -> None:
    """Without limit headers the tier may have no limit, or the service does not tell it."""
    async with Emulator(**{**DOCUMENTED, "rate_headers": "none"}) as emulator:
        diagnosis = await examine_emulator(emulator)
    assert checks(diagnosis, Verdict.UNKNOWN) == NEVER_TOLD | {"limit headers", "one quota"}


async def test_stamps_of_a_clock_that_is_ahead_are_told() -> None:
    """The newest message is stamped in the future of `Date`."""
    async with Emulator(**DOCUMENTED, stamp_offset=600.0) as emulator:
        emulator.append(emulator.device_ids[0])
        diagnosis = await examine_emulator(emulator)
    assert "in the future" in by_check(diagnosis)["stamps"].evidence
    assert checks(diagnosis, Verdict.DIFFERS) == {"stamps"}


@pytest.mark.parametrize(("late", "verdict"), [(2, Verdict.OK), (20, Verdict.DIFFERS)])
async def test_a_late_message_gives_a_longer_settle(late: int, verdict: Verdict) -> None:
    """A message that appears later after its stamp than `settle` makes it longer."""
    async with Emulator(**DOCUMENTED) as emulator:
        device = emulator.device_ids[0]

        def arrive(sent: int) -> None:
            if sent == 12:
                stamp = datetime.now(UTC) - timedelta(seconds=late)
                emulator.append(device, [{"timestamp": stamp}])

        config = Config(base_url=emulator.base_url)
        limiter = RateLimiter()
        async with IottlySession(emulator.api_key, config=config, limiter=limiter) as session:
            diagnosis = await diagnose(session, emulator.project_id, on_request=arrive)
    assert by_check(diagnosis)["late messages"].verdict is verdict
    settle = diagnosis.settings.get("settle", config.settle)
    assert settle > late


async def test_the_requests_are_those_of_the_plan() -> None:
    """The server sees only planned requests, each no more often than planned."""
    async with Emulator(**DOCUMENTED) as emulator:
        diagnosis = await examine_emulator(emulator)
        seen = len(emulator.requests)
    planned: dict[str, int] = {}
    for each in plan():
        planned[each.request] = planned.get(each.request, 0) + each.most
    assert sum(planned.values()) + 5 <= 40
    sent = [request.request.partition("?")[0] for request in diagnosis.requests]
    assert len(sent) == seen
    assert {each: sent.count(each) for each in sent if sent.count(each) > planned[each]} == {}


async def test_the_quota_of_others_is_left_alone() -> None:
    """The doctor's requests go through the session's limiter and are never refused."""
    async with Emulator(**{**DOCUMENTED, "rate_limit": "starter"}) as emulator:
        diagnosis = await examine_emulator(emulator)
        assert all(request.status != 429 for request in emulator.requests)
    assert diagnosis.stopped is None
