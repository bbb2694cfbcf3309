"""The doctor against an independent server, in every dialect that it could speak.

Walks with the saved profile use about a dozen dialects; with `HYPOTHESIS_PROFILE=long`, all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from iottly_async import Config, IottlyError, IottlySession, RateLimiter
from iottly_async.doctor import Verdict, profile_text
from tests.support.foreign import EVERY, USUAL, Dialect, ForeignServer, text_of

from .examined import NEVER_TOLD, by_check, checks, examine

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

# What cannot be told: the count of this server's quota stands still.
UNKNOWN = NEVER_TOLD | {"one quota"}
READABLE_TIMES = {"naive", "seconds-apart"}


def named(dialect: Dialect) -> set[str]:
    """The checks that have to name the deviations of a dialect.

    The order of fields, escapes, white space, the case of header names, chunks, compression
    and the answers to commands are left to the service; they are no deviation. The server has
    no WebSocket at all.
    """
    found = {
        "fields": dialect.extra
        or dialect.absent
        or dialect.nulls
        or dialect.id_key == "id"
        or dialect.plain_ids
        or dialect.ids_on_pages
        or dialect.odd_fields,
        "values": dialect.unknown_values or dialect.shouts,
        "bodies": dialect.floats
        or dialect.bom
        or dialect.media_type is None
        or "json" not in dialect.media_type,
        "times in answers": dialect.page_time not in READABLE_TIMES
        or dialect.history_date != "z"
        or dialect.seen != Dialect(name="").seen,
        "stamps": dialect.page_time == "seconds-apart",
        "times in requests": dialect.filter_time != "iso" or dialect.rounds_to > 1,
        "connections": dialect.closes != "no"
        or dialect.version == "1.0"
        or dialect.framing == "close",
        "clock": not dialect.date,
        "page numbers": dialect.first_page == 0,
        "page size": dialect.most < 100,
        "fleet pages": dialect.most_devices < 42,
        "no match": dialect.empty == 200,
        "history order": dialect.oldest_first,
        "stream": True,
    }
    return {check for check, deviates in found.items() if deviates}


def settings_of(dialect: Dialect) -> dict[str, Any]:
    """The settings that a user has to make for such a server."""
    wanted = {
        "first_page": dialect.first_page,
        "timestamp_format": dialect.filter_time,
        "page_size": dialect.most,
    }
    default = Config()
    return {name: value for name, value in wanted.items() if value != getattr(default, name)}


@pytest.mark.parametrize("dialect", EVERY, ids=str)
async def test_each_deviation_is_named_and_nothing_else(dialect: Dialect) -> None:
    """The checks that differ are those of the dialect's deviations, with their settings."""
    async with ForeignServer(dialect) as server:
        diagnosis = await examine(server.url, server.key, server.project)
        assert {method for method, _, _ in server.requests} == {"GET"}
        assert len(server.requests) == len(diagnosis.requests) <= 40
    assert checks(diagnosis, Verdict.DIFFERS) == named(dialect)
    unknown = UNKNOWN if dialect.quota else UNKNOWN | {"limit headers"}
    assert checks(diagnosis, Verdict.UNKNOWN) == unknown
    assert diagnosis.settings == settings_of(dialect)
    assert diagnosis.stopped is None


@pytest.mark.parametrize("dialect", EVERY if LONG else USUAL, ids=str)
async def test_the_saved_profile_makes_the_walk_exact(dialect: Dialect, tmp_path: Path) -> None:
    """With the profile a walk has every message, in no more requests than by hand or without."""
    path = tmp_path / "config.toml"
    async with ForeignServer(dialect) as server:
        diagnosis = await examine(server.url, server.key, server.project)
        without = Config(base_url=server.url)
        path.write_text(profile_text(diagnosis, without, server.project))
        profile = Config.from_file(path)
        assert profile == evolve(without, **diagnosis.settings)
        saved, requests = await walked(server, profile)
        assert saved == expected(server)
        by_hand = evolve(
            without, first_page=dialect.first_page, timestamp_format=dialect.filter_time
        )
        assert requests <= (await walked(server, by_hand))[1]
        if diagnosis.settings:
            try:
                found, more = await walked(server, without)
            except IottlyError:
                return  # the walk needs the profile
            assert found == saved
            assert requests <= more


async def walked(server: ForeignServer, config: Config) -> tuple[list[str], int]:
    """What a walk over the crowded device finds, and in how many requests."""
    before = len(server.requests)
    async with IottlySession(server.key, config=config, limiter=RateLimiter()) as session:
        walk = session.project(server.project).messages.walk(server.truth.devices[0])
        found = [text_of(message.payload) async for message in walk]
    return sorted(found), len(server.requests) - before


def expected(server: ForeignServer) -> list[str]:
    """The payloads of the crowded device."""
    return sorted(row.text for row in server.truth.rows[server.truth.devices[0]])


async def test_a_rounded_bound_is_told_with_its_unit() -> None:
    """The evidence names each form of time, and what became of it."""
    dialect = Dialect(name="rounded", rounds_to=1000, filter_time="iso-z")
    async with ForeignServer(dialect) as server:
        diagnosis = await examine(server.url, server.key, server.project)
    assert by_check(diagnosis)["times in requests"].evidence == (
        "iso: answered by 400; iso-z: rounded down to the second; epoch-ms: answered by 400; "
        "epoch-s: answered by 400"
    )
