"""The script that many would write: httpx, 8 requests at once, Arrow into DuckDB.

It goes on at each device's newest row, which it reads again, and waits after a refusal for as
long as the service says. `benchmarks.peers` runs it:

```sh
python -m benchmarks.peers_script BASE_URL KEY PROJECT FILE
```
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import duckdb
import httpx
import pyarrow as pa


async def fetch_all(base: str, key: str, project: str, file: str) -> None:
    """Fetch what is new of all devices into the table `messages`."""
    db = duckdb.connect(file)
    db.execute(
        "CREATE TABLE IF NOT EXISTS messages (device_id VARCHAR, timestamp TIMESTAMP, "
        "device_timestamp TIMESTAMP, type VARCHAR, channel VARCHAR, payload JSON)"
    )
    headers, limits = {"Authentication": f"bearer {key}"}, asyncio.Semaphore(8)
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as http:

        async def get(path: str, **query: Any) -> Any:
            while True:
                async with limits:
                    answer = await http.get(f"/v1.0/project/{project}/{path}", params=query)
                if answer.status_code == 429:
                    reset = float(answer.headers["X-RateLimit-Reset"])
                    await asyncio.sleep(max(0.1, reset - time.time()))
                    continue
                if answer.status_code == 404:
                    return {"messages": []}
                return answer.raise_for_status().json()

        async def device(name: str, newest: Any) -> None:
            since = {} if newest is None else {"from": newest.isoformat(timespec="milliseconds")}
            rows, number = [], 1
            while True:
                path = f"device/{name}/messages/paginated"
                found = (await get(path, p=number, l=100, sort="asc", **since))["messages"]
                rows += found
                number += 1
                if len(found) < 100:
                    break
            if not rows:
                return
            for row in rows:
                row["payload"] = json.dumps(row["payload"])
                row.setdefault("channel", None)
            incoming = pa.Table.from_pylist(rows)
            db.register("incoming", incoming)
            db.begin()
            if newest is not None:
                again = "DELETE FROM messages WHERE device_id = ? AND timestamp >= ?"
                db.execute(again, [name, newest])
            db.execute(
                'INSERT INTO messages SELECT "from", timestamp::TIMESTAMP, '
                "devicetimestamp::TIMESTAMP, type, channel, payload FROM incoming"
            )
            db.commit()

        devices = (await get("devices/props"))["devices"]
        newest = dict(
            db.execute("SELECT device_id, max(timestamp) FROM messages GROUP BY 1").fetchall()
        )
        await asyncio.gather(*(device(one["ID"], newest.get(one["ID"])) for one in devices))


if __name__ == "__main__":
    asyncio.run(fetch_all(*sys.argv[1:]))
