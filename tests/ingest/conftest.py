"""Where tests of ingestion put their stores: a path of each kind, a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, one for the whole run of tests."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["duckdb", "jsonl", "jsonl.zst", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The path of a store that does not exist yet, of each kind in files."""
    return tmp_path / f"telemetry.{request.param}"
