"""schemathesis: requests that it makes up from the document find no difference in the emulator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from iottly_async.emulator import EmulatorThread
from tests.support.canary import CANARY
from tests.support.openapi import OPERATIONS

pytest.importorskip("schemathesis", reason="pip install schemathesis")

HERE: Final = Path(__file__).parent
EXAMPLES: Final = settings().max_examples // 4
"""For each operation and phase: 10 in CI, 500 with ``HYPOTHESIS_PROFILE=long``."""


def run(emulator: EmulatorThread, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis on an emulator, as its command line does."""
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.elsewhere.schemathesis_hooks",
        "PYTHONPATH": str(HERE.parents[1]),
        "COLUMNS": "100",
        "IOTTLY_API_KEY": CANARY,
        "IOTTLY_PROJECT": emulator.project_id,
        "IOTTLY_DEVICE": emulator.device_ids[0],
        "IOTTLY_FLEET_DEVICE": emulator.fleet_ids[0],
    }
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "schemathesis.cli",
                "--config-file",
                HERE / "schemathesis.toml",
            ),
            *("run", f"{emulator.base_url}/_emulator/openapi.json", "--no-color"),
            *("--max-examples", str(EXAMPLES), "--generation-database", "none"),
            *options,
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_emulator_is_as_documented(tmp_path: Path) -> None:
    """Whatever the document allows is answered as documented; what it forbids is refused."""
    # A first page of 0 allows every page number that the document has (D3).
    with EmulatorThread(
        devices=2, messages=500, first_page=0, api_keys=(CANARY,), rate_limit=10**9
    ) as emulator:
        done = run(emulator, tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {len(OPERATIONS)}" in done.stdout, done.stdout
    generated, passed = map(int, re.findall(r"(\d+) (?:generated|passed)", done.stdout)[-2:])
    assert generated == passed > 30 * len(OPERATIONS)


def test_a_difference_is_found(tmp_path: Path) -> None:
    """An answer that is not as documented is reported."""
    with EmulatorThread(devices=1, messages=50, api_keys=(CANARY,)) as emulator:
        emulator.fault("status", status=200, body={"id": 1}, route="fleet_device", count=None)
        done = run(emulator, tmp_path, "--include-operation-id=fleet_device", "--phases=examples")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Response violates schema" in done.stdout, done.stdout
