"""Partitions on a real Redis share one quota with other sessions of the key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from iottly_async import IottlySession
from iottly_async.emulator import Emulator
from iottly_async.ingest.partitions import PartitionSource, plan, run_partition
from iottly_async.ratelimit import RedisLimiter
from tests.support.redis_server import any_redis, redis_url

__all__ = ["any_redis", "redis_url"]


async def test_a_partition_and_a_session_have_one_quota(
    emulator: Emulator, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They use one name in Redis, which does not contain the key."""
    monkeypatch.setenv("KEY", emulator.api_key)
    monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
    monkeypatch.setenv("REDIS_OF_OURS", redis_url)
    source = PartitionSource(project=emulator.project_id, key_env="KEY")
    end = datetime(2026, 5, 1, tzinfo=UTC)
    (partition, *_) = await plan([source], end=end, redis_env="REDIS_OF_OURS")
    await run_partition(partition, tmp_path)
    async with (
        RedisLimiter(redis_url) as limiter,
        IottlySession(emulator.api_key, limiter=limiter) as session,
    ):
        await session.ping()
    async with Redis.from_url(redis_url) as client:
        (name,) = [name async for name in client.scan_iter("iottly:quota*")]
    assert emulator.api_key.encode() not in name
