"""What the limit of a run is: the account of its time, and jobs that have each limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.ingest import Bottleneck, Group, IngestJob, IngestReport, StoredState, TimeShares
from iottly_async.ingest.bottleneck import BottleneckMeter


@pytest.mark.parametrize(
    ("waiting", "in_flight", "store_busy", "expected"),
    [
        (0, 4, False, TimeShares(network=0.75, decoding=0.25)),
        (4, 0, False, TimeShares(quota=0.75, decoding=0.25)),
        (1, 2, False, TimeShares(quota=0.25, network=0.5, decoding=0.25)),
        (1, 2, True, TimeShares(store=0.75, decoding=0.25)),
        (0, 0, True, TimeShares(store=0.75, decoding=0.25)),
        (0, 0, False, TimeShares(idle=0.75, decoding=0.25)),
    ],
)
def test_waiting_is_booked_to_what_is_waited_for(
    waiting: int, in_flight: int, store_busy: bool, expected: TimeShares
) -> None:
    """A quarter of the time was work; the rest is the store's where it holds up, else shared."""
    ledger = BottleneckMeter(100.0, 7.0)
    ledger.sample(108.0, 9.0, waiting=waiting, in_flight=in_flight, store_busy=store_busy)
    assert ledger.shares() == expected


def test_before_the_first_look_nothing_is_the_limit() -> None:
    """All shares are 0, and none is named."""
    shares = BottleneckMeter(1.0, 1.0).shares()
    assert shares == TimeShares()
    assert shares.bottleneck is None


def test_the_recent_shares_forget_and_the_whole_ones_do_not() -> None:
    """After ten seconds of another kind, those alone are recent."""
    ledger = BottleneckMeter(0.0, 0.0)
    for second in range(1, 21):
        ledger.sample(second, 0.0, waiting=0, in_flight=1, store_busy=False)
    for second in range(21, 41):
        ledger.sample(second, 0.0, waiting=1, in_flight=0, store_busy=False)
    assert ledger.recent() == TimeShares(quota=1.0)
    assert ledger.shares() == TimeShares(quota=0.5, network=0.5)


def test_a_cpu_clock_that_runs_ahead_books_no_more_than_passed() -> None:
    """The shares never exceed one, however coarse the clocks are."""
    ledger = BottleneckMeter(0.0, 0.0)
    ledger.sample(1.0, 5.0, waiting=1, in_flight=1, store_busy=True)
    assert ledger.shares() == TimeShares(decoding=1.0)


@pytest.mark.parametrize(
    ("shares", "limit"),
    [
        (TimeShares(quota=0.6, network=0.4), "quota"),
        (TimeShares(store=0.5, network=0.3, decoding=0.2), "store"),
        (TimeShares(idle=0.9, network=0.1), "network"),
        (TimeShares(idle=0.98, decoding=0.02), None),
    ],
)
def test_the_limit_is_the_largest_share_but_idleness(
    shares: TimeShares, limit: Bottleneck | None
) -> None:
    """Where hardly anything was waited for, nothing is the limit."""
    assert shares.bottleneck == limit
    assert shares.as_dict()["bottleneck"] == limit


class SlowStore:
    """A store that writes nothing, only when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def open(self) -> StoredState:
        """It is empty."""
        return StoredState(plan=None, cursors={})

    async def begin(self, plan: str) -> None:
        """Nothing is kept."""

    async def write(self, group: Group) -> Mapping[str, int]:
        """Wait."""
        await self.let.wait()
        return {}

    async def flush(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        """Nothing to let go of."""


async def report_of(emulator: Emulator, path: Path, **more: object) -> IngestReport:
    """The report of a job for all that the emulator has."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
        job = IngestJob(session, project=emulator.project_id, store=path, **more)  # type: ignore[arg-type]
        return await job.run()


async def test_a_scarce_quota_is_the_limit(tmp_path: Path) -> None:
    """Twelve requests with eight a window: most of the time is waited for the second one."""
    async with Emulator(devices=2, messages=1000, rate_limit=8, rate_window=1) as emulator:
        report = await report_of(emulator, tmp_path / "x.jsonl")
    assert report.shares.bottleneck == "quota"


async def test_a_slow_service_is_the_limit(tmp_path: Path) -> None:
    """One request at once, each with a latency: the network is waited for."""
    async with Emulator(devices=2, messages=1000, latency=0.05) as emulator:
        report = await report_of(emulator, tmp_path / "x.jsonl", concurrency=1)
    assert report.shares.bottleneck == "network"


async def test_a_store_that_blocks_is_the_limit() -> None:
    """The walks wait until the store takes what was fetched, and the progress says so."""
    store = SlowStore()
    limits: list[Bottleneck | None] = []

    async with Emulator(devices=2, messages=30_000) as emulator:
        config = Config(base_url=emulator.base_url)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            job = IngestJob(session, project=emulator.project_id, store=store)

            def look(progress: object) -> None:
                limits.append(progress.shares.bottleneck)  # type: ignore[attr-defined]
                if limits[-1] == "store":
                    store.let.set()

            async with asyncio.timeout(60):
                report = await job.run(look)
    assert "store" in limits
    assert report.shares.store > 0
