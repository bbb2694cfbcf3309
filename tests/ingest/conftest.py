"""A store's path, of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["duckdb", "jsonl"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a store is to be, named by its suffix; nothing is there yet."""
    return tmp_path / f"telemetry.{request.param}"
