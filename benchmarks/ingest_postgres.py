"""A job into PostgreSQL, compared with a loop that is written by hand, by the wall clock."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import aiohttp

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.ingest import IngestJob
from iottly_async.ingest.stores.postgres import schema as postgres_schema

from .clients import HEADERS, KEY, held_from, url
from .clients import by_name as time_of
from .pages import DEVICE, PROJECT, SIZE
from .pageserver import page_server
from .pairing import Race
from .table import Figure


def postgres(messages: int, turns: int) -> list[Figure]:
    """Measure how many times as fast as the loop a job is; PostgreSQL's own time counts."""
    import asyncpg  # noqa: F401 - without it this part cannot run

    from tests.support.postgres_server import postgres_server

    with ExitStack() as stack:
        base = stack.enter_context(page_server(messages))
        server = stack.enter_context(postgres_server(durable=True))
        database = stack.enter_context(server.database())
        return asyncio.run(_measure(base, database, turns))


async def _measure(base: str, database: str, turns: int) -> list[Figure]:
    numbers = count()
    config = Config(base_url=base)
    async with IottlySession(KEY, config=config, limiter=RateLimiter()) as session:

        async def job() -> int:
            place = f"{database}?schema=turn_{next(numbers)}"
            report = await IngestJob(
                session, project=PROJECT, devices=[DEVICE], store=place, concurrency=1
            ).run()
            return report.rows

        race = Race()
        by_hand = partial(_by_hand, base, database, numbers)
        await race.run({"job": job, "by hand": by_hand}, turns)
    for name in ("job", "by hand"):
        print(f"    {name:<8} {race.best(name, 'wall'):6.2f} µs a row, wall, at best")
    return [race.saving("postgresql: loop by hand / job, wall", "job", "by hand", 6.0, "wall")]


async def _by_hand(base: str, database: str, numbers: count[int]) -> int:
    """A page, `r.json()`, `executemany`, and again."""
    import asyncpg

    schema = f"turn_{next(numbers)}"
    connection = await asyncpg.connect(database)
    for statement in postgres_schema.CREATE:
        await connection.execute(statement.format(schema=schema))
    insert = (
        f"INSERT INTO {schema}.messages VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
        "ON CONFLICT DO NOTHING"
    )
    rows, start = 0, None
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        while True:
            async with session.get(url(base, start)) as response:
                messages = (await response.json())["messages"]
            full = len(messages) == SIZE
            page = messages[: held_from(messages, time_of)] if full else messages
            await connection.executemany(insert, [_plain(message) for message in page])
            rows += len(page)
            if not full:
                break
            start = messages[-1]["timestamp"]
    await connection.close()
    return rows


def _plain(message: dict[str, Any]) -> tuple[Any, ...]:
    payload = json.dumps(message["payload"])
    return (
        message["from"],
        datetime.fromisoformat(message["timestamp"]).replace(tzinfo=UTC),
        datetime.fromisoformat(message["devicetimestamp"]).replace(tzinfo=UTC),
        message["type"],
        message.get("channel"),
        payload,
        None,
        f"{message['from']}/{message['timestamp']}",
    )
