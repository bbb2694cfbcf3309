"""Many messages of one millisecond, in a new order with each request: none is lost by default."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from iottly_async import DevicesFailedError, FollowPace, Message, UnstableTieOrderError
from iottly_async.emulator import Emulator
from iottly_async.ingest import IngestJob
from tests.resources.test_walks import session_on

TIED = 130


async def crowded(emulator: Emulator, *, payloads: int) -> str:
    """Give a device three crowded milliseconds, with `payloads` payloads; its id."""
    emulator.clock.pin()
    device_id = emulator.device_ids[0]
    for group in range(3):
        emulator.clock.advance(1)
        rows = [{"payload": {"n": n % payloads, "group": group}} for n in range(TIED)]
        emulator.append(device_id, rows)
    emulator.clock.advance(60)
    return device_id


def truth(emulator: Emulator) -> Counter[str]:
    """The payloads that the emulator has stored, as texts."""
    return Counter(row["payload_json"] for row in emulator.stored(emulator.device_ids[0]))


def texts(messages: list[Message]) -> Counter[str]:
    """The payloads of messages, as texts."""
    return Counter(message.payload_text for message in messages)


@pytest.fixture(params=[TIED, 40, 1], ids=lambda payloads: f"{payloads} payloads")
async def emulator(request: pytest.FixtureRequest) -> AsyncIterator[Emulator]:
    """A service that changes the order of ties with each request."""
    async with Emulator(devices=1, messages=0, unstable_ties=True) as emulator:
        await crowded(emulator, payloads=request.param)
        yield emulator


HOW: dict[str, dict[str, Any]] = {
    "ascending": {},
    "descending": {"order": "desc"},
    "in order": {"concurrency": 4},
    "any order": {"concurrency": 4, "ordered": False},
    "of one type": {"type": "userdefined"},
}


@pytest.mark.parametrize("how", HOW)
async def test_a_walk_loses_nothing_by_default(emulator: Emulator, how: str) -> None:
    """Every message comes once, also identical ones, whose keys differ."""
    async with session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        found = [one async for one in messages.walk(emulator.device_ids[0], **HOW[how])]
    assert texts(found) == truth(emulator)
    assert len({one.key for one in found}) == 3 * TIED


async def test_many_devices_a_follower_and_a_job_lose_nothing(
    emulator: Emulator, tmp_path: Path
) -> None:
    """`walk_many`, `follow`, `follow_many` and jobs prove ties by default, too."""
    device_id, expected = emulator.device_ids[0], truth(emulator)
    start = emulator.stored(device_id)[0]["timestamp"]
    async with session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        assert texts([one async for one in messages.walk_many()]) == expected
        pace = FollowPace(fastest=0.05)
        for following in (
            messages.follow(device_id, start=start, pace=pace),
            messages.follow_many(start=start, pace=pace),
        ):
            got: list[Message] = []
            async with aclosing(following):
                async for batch in following:
                    got += batch.messages
                    if len(got) >= 3 * TIED:
                        break
            assert texts(got) == expected
        path = tmp_path / "all.jsonl"
        await IngestJob(session, project=emulator.project_id, store=path).run()
    stored = Counter(
        json.dumps(json.loads(line)["payload"], separators=(",", ":"))
        for line in path.read_text("utf-8").splitlines()
    )
    assert stored == expected


async def test_without_a_proof_it_is_said_and_nothing_of_the_millisecond_is_yielded(
    tmp_path: Path,
) -> None:
    """On a platform whose history understands no times, identical messages on several pages
    cannot be told apart: the error says so, and names the setting that trusts one order."""
    async with Emulator(devices=1, messages=0, plain_filters=True) as emulator:
        device_id = await crowded(emulator, payloads=1)
        async with session_on(emulator) as session:
            messages = session.project(emulator.project_id).messages
            with pytest.raises(UnstableTieOrderError, match=r"Config\(verify_ties=False\)"):
                await anext(messages.walk(device_id))
            with pytest.raises(DevicesFailedError) as failed:
                _ = [one async for one in messages.walk_many()]
            assert isinstance(failed.value.failures[device_id].error, UnstableTieOrderError)
            path = tmp_path / "all.jsonl"
            job = IngestJob(session, project=emulator.project_id, store=path)
            report = await job.run()
            assert report.devices[0].error_type == "UnstableTieOrderError"
            walk = messages.walk(device_id, verify_ties=False)
            assert texts([one async for one in walk]) == truth(emulator)
        async with session_on(emulator, verify_ties=False) as session:
            report = await IngestJob(session, project=emulator.project_id, store=path).run()
            assert (report.rows, report.failed) == (3 * TIED, 0)


@pytest.mark.parametrize("size", [2, 100])
async def test_it_costs_nothing_where_a_page_holds_each_millisecond(size: int) -> None:
    """Groups of up to a page need no more requests with the proof than without it."""
    spent = []
    for verify in (True, False):
        async with Emulator(devices=1, messages=0) as emulator:
            emulator.clock.pin()
            for _ in range(1000 // size):
                emulator.append(emulator.device_ids[0], [{"payload": 0}] * size)
                emulator.clock.advance(1.5)
            emulator.clock.advance(60)
            async with session_on(emulator, verify_ties=verify) as session:
                messages = session.project(emulator.project_id).messages
                assert len([one async for one in messages.walk(emulator.device_ids[0])]) == 1000
            spent.append(len(emulator.requests))
    assert spent[0] == spent[1]
