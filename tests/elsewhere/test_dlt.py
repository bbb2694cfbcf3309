"""dlt: the example's pipeline, killed and run again, loads each message once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from iottly_async.emulator import EmulatorThread
from tests.support.stored_rows import Row, truth_of

pytest.importorskip("dlt", reason="pip install 'dlt[duckdb]'")

EXAMPLES = Path(__file__).parents[2] / "examples"
KILLS = 20


def loaded(file: Path) -> Counter[Row]:
    """The rows of dlt's table."""
    with duckdb.connect(str(file), read_only=True) as db:
        found = db.execute(
            "SELECT device_id, epoch_ms(timestamp), epoch_ms(device_timestamp), type, channel, "
            "payload::VARCHAR FROM iottly.messages"
        ).fetchall()
    return Counter(Row(*row) for row in found)


def test_a_pipeline_that_is_killed_loads_each_message_once(tmp_path: Path) -> None:
    """Killed 20 times, at any write of a file, its table has the service's rows, each once."""
    chance, file = random.Random(0), tmp_path / "telemetry.duckdb"
    with EmulatorThread(devices=3, messages=2000) as emulator:
        environment = {
            **os.environ,
            "HOME": str(tmp_path),
            "IOTTLY_API_KEY": emulator.api_key,
            "IOTTLY_BASE_URL": emulator.base_url,
            "IOTTLY_PROJECT": emulator.project_id,
            "NORMALIZE__WORKERS": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "tests.elsewhere.dlt_runs", str(EXAMPLES), str(file)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as runs:

            def run(kill_at: int = 0) -> tuple[int, int]:
                assert runs.stdin is not None
                assert runs.stdout is not None
                print(kill_at, file=runs.stdin, flush=True)
                code, steps = map(int, runs.stdout.readline().split())
                return code, steps

            code, steps = run()
            assert code == 0
            assert loaded(file) == truth_of(emulator)
            kills = 0
            while kills < KILLS:
                for device in emulator.device_ids[:2]:  # the last one is disconnected
                    emulator.append(device, 40)
                emulator.clock.offset += 60  # what was appended has settled
                code, _ = run(chance.randint(1, steps))
                assert code in (0, -signal.SIGKILL)
                kills += code != 0
            assert run()[0] == 0
            assert runs.stdin is not None
            runs.stdin.close()
        assert loaded(file) == truth_of(emulator)
    with duckdb.connect(str(file), read_only=True) as db:
        query = "SELECT count(*) - count(DISTINCT key) FROM iottly.messages"
        assert db.execute(query).fetchone() == (0,)
