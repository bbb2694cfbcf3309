"""A store's path, of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database of its own, empty."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["duckdb", "jsonl", "jsonl.zst", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a store is to be, named by its suffix; nothing is there yet."""
    return tmp_path / f"telemetry.{request.param}"
