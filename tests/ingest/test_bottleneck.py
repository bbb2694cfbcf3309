"""The bottleneck of a run: how its time is measured, and jobs with each bottleneck."""

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
def test_waiting_counts_for_what_is_waited_for(
    waiting: int, in_flight: int, store_busy: bool, expected: TimeShares
) -> None:
    """A quarter of the time was work. The rest is the store's if a walk waits for it; else it is
    divided by the waiting calls."""
    meter = BottleneckMeter(100.0, 7.0)
    meter.sample(108.0, 9.0, waiting=waiting, in_flight=in_flight, store_busy=store_busy)
    assert meter.shares() == expected


def test_before_the_first_sample_there_is_no_bottleneck() -> None:
    """All shares are 0."""
    shares = BottleneckMeter(1.0, 1.0).shares()
    assert shares == TimeShares()
    assert shares.bottleneck is None


def test_recent_shares_are_of_the_last_ten_seconds() -> None:
    """Older time counts only for the shares of the whole run."""
    meter = BottleneckMeter(0.0, 0.0)
    for second in range(1, 21):
        meter.sample(second, 0.0, waiting=0, in_flight=1, store_busy=False)
    for second in range(21, 41):
        meter.sample(second, 0.0, waiting=1, in_flight=0, store_busy=False)
    assert meter.recent() == TimeShares(quota=1.0)
    assert meter.shares() == TimeShares(quota=0.5, network=0.5)


def test_a_cpu_clock_that_runs_ahead_counts_no_more_than_the_time_passed() -> None:
    """The shares never exceed 1, even if the clocks are coarse."""
    meter = BottleneckMeter(0.0, 0.0)
    meter.sample(1.0, 5.0, waiting=1, in_flight=1, store_busy=True)
    assert meter.shares() == TimeShares(decoding=1.0)


@pytest.mark.parametrize(
    ("shares", "bottleneck"),
    [
        (TimeShares(quota=0.6, network=0.4), "quota"),
        (TimeShares(store=0.5, network=0.3, decoding=0.2), "store"),
        (TimeShares(idle=0.9, network=0.1), "network"),
        (TimeShares(idle=0.98, decoding=0.02), None),
    ],
)
def test_the_bottleneck_is_the_largest_share_other_than_idle(
    shares: TimeShares, bottleneck: Bottleneck | None
) -> None:
    """If every share is below 5 %, there is no bottleneck."""
    assert shares.bottleneck == bottleneck
    assert shares.as_dict()["bottleneck"] == bottleneck


class SlowStore:
    """A store that writes nothing, and waits for `let` before it returns."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def open(self) -> StoredState:
        """Return an empty state."""
        return StoredState(plan=None, cursors={})

    async def begin(self, plan: str) -> None:
        """Do nothing."""

    async def write(self, group: Group) -> Mapping[str, int]:
        """Wait until it may return."""
        await self.let.wait()
        return {}

    async def flush(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


async def report_of(emulator: Emulator, path: Path, **more: object) -> IngestReport:
    """The report of a job for all messages of the emulator."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
        job = IngestJob(session, project=emulator.project_id, store=path, **more)  # type: ignore[arg-type]
        return await job.run()


async def test_a_small_quota_is_the_bottleneck(tmp_path: Path) -> None:
    """A job of twelve requests, with eight a window, mostly waits for the second window."""
    async with Emulator(devices=2, messages=1000, rate_limit=8, rate_window=1) as emulator:
        report = await report_of(emulator, tmp_path / "x.jsonl")
    assert report.shares.bottleneck == "quota"


async def test_a_slow_service_is_the_bottleneck(tmp_path: Path) -> None:
    """With one request at once, each with a latency, the job waits for the network."""
    async with Emulator(devices=2, messages=1000, latency=0.05) as emulator:
        report = await report_of(emulator, tmp_path / "x.jsonl", concurrency=1)
    assert report.shares.bottleneck == "network"


async def test_a_store_that_blocks_is_the_bottleneck() -> None:
    """The walks wait until the store takes what was fetched. The progress names the store."""
    store = SlowStore()
    seen: list[Bottleneck | None] = []

    async with Emulator(devices=2, messages=30_000) as emulator:
        config = Config(base_url=emulator.base_url)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            job = IngestJob(session, project=emulator.project_id, store=store)

            def on_progress(progress: object) -> None:
                seen.append(progress.shares.bottleneck)  # type: ignore[attr-defined]
                if seen[-1] == "store":
                    store.let.set()

            async with asyncio.timeout(60):
                report = await job.run(on_progress)
    assert "store" in seen
    assert report.shares.store > 0
