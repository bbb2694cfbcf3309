"""polars, pandas and DuckDB read a table of `to_arrow` in one line, with types that they know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb
import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator

pl: Final[Any] = pytest.importorskip("polars", reason="pip install polars")
pd: Final[Any] = pytest.importorskip("pandas", reason="pip install pandas")

PATHS: Final = {"temperature": "sensor_data_reading.temperature", "seconds": "n"}


async def test_a_table_becomes_a_frame_in_one_line() -> None:
    """Times are aware, ids and texts are text, and columns of the payload have their types."""
    async with Emulator(devices=1, messages=0) as emulator:
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        for number in range(4):
            payload = {"n": number, "sensor_data_reading": {"temperature": 20.5 + number}}
            emulator.append(device_id, messages=[{"payload": payload if number else {}}])
            emulator.clock.advance(1)
        emulator.clock.advance(60)
        config = Config(base_url=emulator.base_url)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            messages = session.project(emulator.project_id).messages
            readings = await messages.to_arrow(device_id, payload=PATHS)
            times = [message.timestamp async for message in messages.walk(device_id)]

    frame = pl.from_arrow(readings)
    assert frame.schema["timestamp"] == pl.Datetime("ms", "UTC")
    assert {frame.schema[name] for name in ("device_id", "type", "payload", "key")} == {pl.String}
    assert frame["timestamp"].to_list() == times
    assert frame["temperature"].to_list() == [None, 21.5, 22.5, 23.5]
    later = frame.filter(pl.col("timestamp") > times[1])
    assert later["seconds"].sum() == 5

    pandas = readings.to_pandas()
    assert str(pandas["timestamp"].dt.tz) == "UTC"
    assert [time.to_pydatetime() for time in pandas["timestamp"]] == times
    assert pandas.set_index("timestamp")["temperature"].resample("1h").mean().dropna().size >= 1

    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'Europe/Rome'")
        since = datetime.now(UTC) - timedelta(days=36500)
        query = "SELECT count(temperature), avg(seconds) FROM readings WHERE timestamp > $1"
        assert db.execute(query, [since]).fetchall() == [(3, 2.0)]
