"""The whole client against an independent server, in every dialect that it could speak.

Every run uses about a dozen dialects; with `HYPOTHESIS_PROFILE=long`, all are used.
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
from tests.support.foreign import EVERY, USUAL, Dialect, ForeignServer, Row, text_of

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
WALKS: dict[str, dict[str, Any]] = {
    "ascending": {},
    "descending": {"order": "desc"},
    "concurrent": {"concurrency": 6},
    "concurrent, descending": {"concurrency": 5, "order": "desc"},
    "unordered": {"concurrency": 6, "ordered": False},
    "ties verified": {"verify_ties": True},
}
Content = tuple[int, str]


@pytest.fixture(params=EVERY if LONG else USUAL, ids=str)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect, one after the other."""
    spoken: Dialect = request.param
    return spoken


@pytest.fixture
async def server(dialect: Dialect) -> AsyncIterator[ForeignServer]:
    """A server that speaks the dialect."""
    async with ForeignServer(dialect) as server:
        yield server


@pytest.fixture
def config(dialect: Dialect, server: ForeignServer) -> Config:
    """The settings that a user has to make for such a server."""
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


def _got(messages: Iterable[Message]) -> list[Content]:
    return [(round(m.timestamp.timestamp() * 1000), text_of(m.payload)) for m in messages]


def _expected(rows: Iterable[Row]) -> list[Content]:
    return [(row.at, row.text) for row in rows]


async def test_project_and_licenses_are_read(server: ForeignServer, session: IottlySession) -> None:
    """Ping, the project, its licenses and the boards of paired ones are read."""
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
    """The list and one device are read; a new name is in the answer and afterwards."""
    devices = session.project(server.project).devices
    first = server.truth.devices[0]
    assert [one.id for one in await devices.list()] == server.truth.devices
    given = None if dialect.absent or dialect.nulls else "neu ☃"
    assert (await devices.rename(first, "neu ☃")).name == given
    assert (await devices.get(first)).name == given


async def test_a_command_arrives_as_described(
    server: ForeignServer, session: IottlySession
) -> None:
    """A command is sent once, and its keys have the prefix of its type."""
    project = session.project(server.project)
    await project.commands.send(server.truth.devices[0], "echo", {"content": "hi"})
    assert server.commands == [{"cmd_type": "echo", "values": {"echo.content": "hi"}}]


async def test_errors_have_their_own_classes(
    server: ForeignServer, config: Config, session: IottlySession
) -> None:
    """400, 401, 403 and 404 of both generations, and an offline device, raise their errors."""
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
    async with IottlySession("wrong", config=config, limiter=RateLimiter()) as unauthorized:
        with pytest.raises(UnauthorizedError):
            await unauthorized.project(server.project).inspect()
        with pytest.raises(UnauthorizedError):
            await unauthorized.devices.get("dev_1")


async def test_the_history_is_read(server: ForeignServer, session: IottlySession) -> None:
    """The latest messages of a device are read, all or by a filter, with their ids."""
    messages = session.project(server.project).messages
    _, plain, silent = server.truth.devices
    rows = server.truth.rows[plain][::-1]
    latest = await messages.recent(plain, limit=20)
    assert _got(latest) == _expected(rows[:20])
    assert [one.id for one in latest] == [row.oid for row in rows[:20]]
    since = datetime(2026, 3, 1, tzinfo=UTC)
    query = {"type": "userdefined", "timestamp": {"$gte": since}}
    chosen = await messages.recent(plain, limit=30, query=query)
    assert _got(chosen) == _expected([row for row in rows if row.type == "userdefined"][:30])
    assert await messages.recent(silent) == []


async def test_a_page_is_read(server: ForeignServer, session: IottlySession) -> None:
    """A page is read by its number, counted from 1; it is empty if nothing matches."""
    messages = session.project(server.project).messages
    _, plain, silent = server.truth.devices
    page = await messages.page(plain, number=2, size=10)
    assert _got(page.messages) == _expected(server.truth.rows[plain][::-1][10:20])
    assert (await messages.page(silent)).messages == ()


async def test_the_fleet_is_listed(server: ForeignServer, session: IottlySession) -> None:
    """Every device comes once, whatever the size of a page, and each is found by its id."""
    expected = [f"dev_{number}" for number in range(42)]
    assert [one.id async for one in session.devices.list()] == expected
    assert [one.id async for one in session.devices.list(per_page=7)] == expected
    page = await session.devices.page(2, 5)
    assert (page.number, page.per_page, page.total) == (2, 5, 42)
    assert (await session.devices.get("dev_3")).id == "dev_3"


async def test_a_command_is_run_to_its_result(
    server: ForeignServer, session: IottlySession
) -> None:
    """A command is sent once, and its result is awaited."""
    result = await session.commands.run("dev_0", "uptime", timeout=5)
    assert (result.status, result.exit_code, result.stdout) == ("completed", 0, "up")
    assert server.fleet_commands == [{"command": "uptime", "timeout_s": 5}]


@pytest.mark.parametrize("how", WALKS)
async def test_walks_yield_every_message_once(
    server: ForeignServer, session: IottlySession, how: str
) -> None:
    """Nothing is lost or repeated, order is kept where requested, and keys are unique."""
    messages = session.project(server.project).messages
    for device, rows in server.truth.rows.items():
        got = [one async for one in messages.walk(device, **WALKS[how])]
        found = _got(got)
        assert sorted(found) == sorted(_expected(rows))
        if WALKS[how].get("ordered", True):
            times = [time for time, _ in found]
            assert times == sorted(times, reverse=WALKS[how].get("order") == "desc")
        assert len({one.key for one in got}) == len(rows)


async def test_a_walk_keeps_to_its_range_and_type(
    server: ForeignServer, session: IottlySession
) -> None:
    """A walk goes from its start, inclusive, to its end, exclusive, over one type."""
    messages = session.project(server.project).messages
    plain = server.truth.devices[1]
    rows = server.truth.rows[plain]
    start, end = rows[60], rows[200]
    walk = messages.walk(plain, start=start.time, end=end.time, type="userdefined")
    within = [r for r in rows if start.at <= r.at < end.at and r.type == "userdefined"]
    assert sorted(_got([one async for one in walk])) == sorted(_expected(within))


async def test_all_devices_are_walked_together(
    server: ForeignServer, session: IottlySession
) -> None:
    """A walk over many devices yields all messages of each device."""
    walk = session.project(server.project).messages.walk_many()
    got = [one async for one in walk]
    everything = chain.from_iterable(server.truth.rows.values())
    assert sorted(_got(got)) == sorted(_expected(everything))


async def test_a_walk_is_resumed(server: ForeignServer, session: IottlySession) -> None:
    """A walk is stopped after every second batch, and resumed from its cursor's text."""
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
    assert sorted(_got(got)) == sorted(_expected(server.truth.rows[crowded]))


async def test_following_yields_what_is_there(
    server: ForeignServer, session: IottlySession
) -> None:
    """Following yields all messages from a start on, in order."""
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
    assert sorted(_got(got)) == sorted(_expected(wanted))


async def test_a_job_stores_every_message_once(
    server: ForeignServer, session: IottlySession, tmp_path: Path
) -> None:
    """The JSON lines of a job have each message of each device once."""
    path = tmp_path / "all.jsonl"
    await IngestJob(session, project=server.project, store=path).run()
    stored = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    expected = {
        device: sorted(row.text for row in rows)
        for device, rows in server.truth.rows.items()
        if rows
    }
    got: dict[str, list[str]] = {}
    for line in stored:
        got.setdefault(line["device_id"].lower(), []).append(text_of(line["payload"]))
    assert {device: sorted(texts) for device, texts in got.items()} == expected
