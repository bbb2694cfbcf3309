"""Queries of a telemetry file: messages by device, and one reading by hour.

    iottly ingest --emulator --to telemetry.duckdb
    python examples/telemetry_queries.py telemetry.duckdb

The file's tables and views are described in `iottly_async.ingest.stores.duckdb.schema`. DuckDB
shows times in the zone of the session, which is set to UTC here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

DEVICES = """
    SELECT name, device_id, messages, first_seen, last_seen FROM devices
    WHERE messages > 0 ORDER BY messages DESC, device_id
"""

# The most frequent reading of one device; the second table shows it.
BUSIEST = """
    SELECT name, device_id FROM readings
    GROUP BY name, device_id ORDER BY count(*) DESC, name, device_id LIMIT 1
"""

BY_HOUR = """
    SELECT date_trunc('hour', timestamp) AS hour, count(*), min(value), avg(value), max(value)
    FROM readings
    WHERE name = $name AND device_id = $device_id AND timestamp >= (
        SELECT date_trunc('hour', max(timestamp)) - INTERVAL 23 HOUR
        FROM readings WHERE name = $name AND device_id = $device_id
    )
    GROUP BY hour ORDER BY hour
"""


def main(path: str) -> None:
    """Print two tables of the file at `path`."""
    with duckdb.connect(path, read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        devices = db.execute(DEVICES).fetchall()
        total = sum(row[2] for row in devices)
        print(f"{total:,} messages of {len(devices)} devices\n")
        print_table(
            ["name", "device", "messages", "first", "last"],
            (
                [name or "", id_, f"{count:,}", f"{a:%Y-%m-%d %H:%M}", f"{b:%Y-%m-%d %H:%M}"]
                for name, id_, count, a, b in devices
            ),
        )
        busiest = db.execute(BUSIEST).fetchone()
        if busiest is None:
            print("\nno message holds a number")
            return
        name, device_id = busiest
        hours = db.execute(BY_HOUR, {"name": name, "device_id": device_id}).fetchall()
        print(f"\n{name} of device {device_id}, its last 24 hours\n")
        least = min(row[3] for row in hours)
        most = max(row[3] for row in hours)
        print_table(
            ["hour (UTC)", "readings", "least", "mean", "most", ""],
            ([f"{hour:%Y-%m-%d %H:%M}", str(count), f"{low:.1f}", f"{mean:.1f}", f"{high:.1f}",
              bar(mean, least, most)]
             for hour, count, low, mean, high in hours),
        )  # fmt: skip


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with texts aligned to the left and numbers to the right."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [
            cell.rjust(width) if cell.replace(",", "").replace(".", "").lstrip("-").isdigit()
            else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]  # fmt: skip
        print("  ".join(cells).rstrip())


def bar(value: float, least: float, most: float) -> str:
    """A bar of 1 to 24 characters."""
    share = (value - least) / (most - least) if most > least else 0.0
    return "▪" * (1 + round(23 * share))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(f"usage: python {sys.argv[0]} FILE.duckdb")
    main(sys.argv[1])
