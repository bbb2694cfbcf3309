"""What a command waits for is said on stderr."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from iottly_async import IottlySession
from iottly_async.cli.waits import waits_shown
from iottly_async.models import Quota
from tests.support.virtual_time import WALL_START, VirtualClock, run_virtual


def quota(waiting: int) -> Quota:
    """A quota whose window ends 40 s after the start."""
    return Quota(
        limit=60,
        remaining=0,
        resets_at=datetime.fromtimestamp(WALL_START + 40, UTC),
        waiting=waiting,
        in_flight=0,
        refusals=0,
        source="server",
    )


def test_a_wait_for_quota_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    """One line a wait has the seconds that are left; the ordinary pace has none."""

    async def main() -> None:
        clock = VirtualClock()
        session = SimpleNamespace(quota=quota(waiting=0), outage=None)
        async with waits_shown(cast(IottlySession, session), clock):
            await clock.sleep(5)
            for seconds, waiting in ((0.4, 1), (5, 0), (20, 1), (2, 0), (4, 1)):
                session.quota = quota(waiting)
                await clock.sleep(seconds)

    run_virtual(main)
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["iottly: waiting for quota: 29 s", "iottly: waiting for quota: 7 s"]
