"""The whole client against a server of another house, in every dialect it could speak.

The dialects of every run are about a dozen; with ``HYPOTHESIS_PROFILE=long`` all are spoken.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from iottly_async import Config, Cursor, FollowPace, IottlySession, Message, RateLimiter
from iottly_async.errors import (
    BadRequestError,
    DeviceOfflineError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
)
from iottly_async.ingest import IngestJob
from tests.support.foreign import EVERY, USUAL, Dialect, ForeignServer, Row

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
WALKS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "backwards": {"order": "desc"},
    "in lanes": {"concurrency": 6},
    "in lanes backwards": {"concurrency": 5, "order": "desc"},
    "in a pool": {"concurrency": 6, "ordered": False},
    "ties verified": {"verify_ties": True},
}
Said = tuple[int, str]


@pytest.fixture(params=EVERY if LONG else USUAL, ids=str)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect in turn."""
    spoken: Dialect = request.param
    return spoken


@pytest.fixture
async def server(dialect: Dialect) -> AsyncIterator[ForeignServer]:
    """A server that speaks it."""
    async with ForeignServer(dialect) as server:
        yield server


@pytest.fixture
def config(dialect: Dialect, server: ForeignServer) -> Config:
    """Settings for what a user is told to set where a server differs."""
    return Config(
        base_url=server.url,
        first_page=dialect.first_page,
        timestamp_format=dialect.filter_time,
    )


@pytest.fixture
async def session(server: ForeignServer, config: Config) -> AsyncIterator[IottlySession]:
    """A session with the server."""
    async with IottlySession(server.key, config=config, limiter=RateLimiter()) as session:
        yield session


def _heard(messages: Iterable[Message]) -> list[Said]:
    return [(round(m.timestamp.timestamp() * 1000), _text(m.payload)) for m in messages]


def _true(rows: Iterable[Row]) -> list[Said]:
    return [(row.at, _text(row.payload)) for row in rows]


def _text(payload: Any) -> str:
    return json.dumps(payload, sort_keys=True)


async def test_project_and_licenses_are_read(server: ForeignServer, session: IottlySession) -> None:
    """Ping, the project, its licenses and the boards of those that are paired."""
    await session.ping()
    project = session.project(server.project)
    crowded, plain, silent = server.truth.devices
    assert (await project.inspect()).id == server.project
    licenses = await project.licenses.list()
    boards = [(one.token, one.board and one.board.id) for one in licenses]
    assert boards == [("t0", crowded), ("t1", plain), ("t2", silent), ("free", None)]
    one = await project.licenses.get("t1")
    assert one.board is not None
    assert one.board.id == plain


async def test_devices_are_read_and_renamed(
    server: ForeignServer, dialect: Dialect, session: IottlySession
) -> None:
    """The list, one of it, and its new name in the answer and afterwards."""
    devices = session.project(server.project).devices
    first = server.truth.devices[0]
    assert [one.id for one in await devices.list()] == server.truth.devices
    given = None if dialect.absent or dialect.nulls else "neu ☃"
    assert (await devices.rename(first, "neu ☃")).name == given
    assert (await devices.get(first)).name == given


async def test_a_command_arrives_as_described(
    server: ForeignServer, session: IottlySession
) -> None:
    """Once, with its prefix."""
    project = session.project(server.project)
    await project.commands.send(server.truth.devices[0], "echo", {"content": "hi"})
    assert server.commands == [{"cmd_type": "echo", "values": {"echo.content": "hi"}}]


async def test_errors_are_told_by_their_kind(
    server: ForeignServer, config: Config, session: IottlySession
) -> None:
    """400, 401, 403 and 404 of either generation, and a device that is away."""
    project = session.project(server.project)
    with pytest.raises(BadRequestError):
        await project.commands.send(server.truth.devices[0], "unknown", {"content": "hi"})
    with pytest.raises(ForbiddenError):
        await session.project("another").inspect()
    with pytest.raises(NotFoundError):
        await project.devices.get("nobody")
    with pytest.raises(NotFoundError):
        await session.commands.get("nothing")
    with pytest.raises(DeviceOfflineError) as caught:
        await session.commands.send("dev_1", "uptime")
    assert (caught.value.code, caught.value.request_id) == ("device_offline", "req_1")
    async with IottlySession("wrong", config=config, limiter=RateLimiter()) as stranger:
        with pytest.raises(UnauthorizedError):
            await stranger.project(server.project).inspect()
        with pytest.raises(UnauthorizedError):
            await stranger.devices.get("dev_1")


async def test_the_history_is_read(server: ForeignServer, session: IottlySession) -> None:
    """The latest of a device, all or by a filter, with the service's ids; none of a silent one."""
    messages = session.project(server.project).messages
    _, plain, silent = server.truth.devices
    rows = server.truth.rows[plain][::-1]
    latest = await messages.recent(plain, limit=20)
    assert _heard(latest) == _true(rows[:20])
    assert [one.id for one in latest] == [row.oid for row in rows[:20]]
    since = datetime(2026, 3, 1, tzinfo=UTC)
    query = {"type": "userdefined", "timestamp": {"$gte": since}}
    chosen = await messages.recent(plain, limit=30, query=query)
    assert _heard(chosen) == _true([row for row in rows if row.type == "userdefined"][:30])
    assert await messages.recent(silent) == []


async def test_a_page_is_read(server: ForeignServer, session: IottlySession) -> None:
    """By its number, which counts from 1 for the caller; empty where nothing matches."""
    messages = session.project(server.project).messages
    _, plain, silent = server.truth.devices
    page = await messages.page(plain, number=2, size=10)
    assert _heard(page.messages) == _true(server.truth.rows[plain][::-1][10:20])
    assert (await messages.page(silent)).messages == ()


async def test_the_fleet_is_listed(server: ForeignServer, session: IottlySession) -> None:
    """Every device once whatever the size of a page, and each by its id."""
    expected = [f"dev_{number}" for number in range(42)]
    assert [one.id async for one in session.devices.list()] == expected
    assert [one.id async for one in session.devices.list(per_page=7)] == expected
    page = await session.devices.page(2, 5)
    assert (page.number, page.per_page, page.total) == (2, 5, 42)
    assert (await session.devices.get("dev_3")).id == "dev_3"


async def test_a_command_is_run_to_its_result(
    server: ForeignServer, session: IottlySession
) -> None:
    """It is sent once, and waited for until it has completed."""
    result = await session.commands.run("dev_0", "uptime", timeout=5)
    assert (result.status, result.exit_code, result.stdout) == ("completed", 0, "up")
    assert server.fleet_commands == [{"command": "uptime", "timeout_s": 5}]


@pytest.mark.parametrize("how", WALKS)
async def test_walks_give_the_truth(
    server: ForeignServer, session: IottlySession, how: str
) -> None:
    """Nothing lost, nothing twice, in order where order was asked for, each with its key."""
    messages = session.project(server.project).messages
    for device, rows in server.truth.rows.items():
        got = [one async for one in messages.walk(device, **WALKS[how])]
        heard = _heard(got)
        assert sorted(heard) == sorted(_true(rows))
        if WALKS[how].get("ordered", True):
            times = [time for time, _ in heard]
            assert times == sorted(times, reverse=WALKS[how].get("order") == "desc")
        assert len({one.key for one in got}) == len(rows)


async def test_a_walk_keeps_to_its_window_and_type(
    server: ForeignServer, session: IottlySession
) -> None:
    """From its start inclusive to its end exclusive, of one type."""
    messages = session.project(server.project).messages
    plain = server.truth.devices[1]
    rows = server.truth.rows[plain]
    start, end = rows[60], rows[200]
    walk = messages.walk(plain, start=start.time, end=end.time, type="userdefined")
    within = [r for r in rows if start.at <= r.at < end.at and r.type == "userdefined"]
    assert sorted(_heard([one async for one in walk])) == sorted(_true(within))


async def test_all_devices_are_walked_together(
    server: ForeignServer, session: IottlySession
) -> None:
    """The walk of many gives what the server has, of each device."""
    walk = session.project(server.project).messages.walk_many()
    got = [one async for one in walk]
    everything = chain.from_iterable(server.truth.rows.values())
    assert sorted(_heard(got)) == sorted(_true(everything))


async def test_a_walk_is_gone_on_with(server: ForeignServer, session: IottlySession) -> None:
    """Given up after every second batch, and begun anew from its cursor's text."""
    messages = session.project(server.project).messages
    crowded = server.truth.devices[0]
    got: list[Message] = []
    cursor: Cursor | None = None
    rounds, whole = 0, False
    while not whole:
        rounds, whole = rounds + 1, True
        async with aclosing(messages.batches(crowded, cursor=cursor)) as batches:
            number = 0
            async for batch in batches:
                got += batch.messages
                cursor = Cursor.from_json(batch.cursor.to_json())
                number += 1
                if number == 2:
                    whole = False
                    break
    assert rounds > 1
    assert sorted(_heard(got)) == sorted(_true(server.truth.rows[crowded]))


async def test_following_gives_what_is_there(server: ForeignServer, session: IottlySession) -> None:
    """From a start on, whole and in order."""
    messages = session.project(server.project).messages
    plain = server.truth.devices[1]
    rows = server.truth.rows[plain]
    wanted = [row for row in rows if row.at >= rows[180].at]
    got: list[Message] = []
    pace = FollowPace(fastest=0.05)
    following = messages.follow(plain, start=rows[180].time, settle=0, pace=pace)
    async with aclosing(following):
        async for batch in following:
            got += batch.messages
            if len(got) >= len(wanted):
                break
    assert sorted(_heard(got)) == sorted(_true(wanted))


async def test_what_is_ingested_is_the_truth(
    server: ForeignServer, session: IottlySession, tmp_path: Path
) -> None:
    """The JSON lines of a job hold each message of each device once."""
    path = tmp_path / "all.jsonl"
    await IngestJob(session, project=server.project, store=path).run()
    stored = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    expected = {
        device: sorted(_text(row.payload) for row in rows)
        for device, rows in server.truth.rows.items()
        if rows
    }
    got: dict[str, list[str]] = {}
    for line in stored:
        got.setdefault(line["device_id"].lower(), []).append(_text(line["payload"]))
    assert {device: sorted(texts) for device, texts in got.items()} == expected
