"""The same job by dlt: `rest_api`, an incremental cursor for each device, merge by a key.

A message has no id, so its key is a hash of all that it has. `benchmarks.peers` runs it:

```sh
python -m benchmarks.peers_dlt BASE_URL KEY PROJECT FOLDER
```
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

import dlt
from dlt.sources.helpers import requests
from dlt.sources.rest_api import rest_api_source


def keyed(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row the key that it is merged by, and its time the zone that a lag needs."""
    text = json.dumps(row, sort_keys=True)
    key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return {**row, "key": key, "timestamp": row["timestamp"] + "Z"}


def resource(project: str, device: str) -> Any:
    """The messages of one device: pages by number, from its own cursor less 10 seconds on."""
    return {
        "name": f"messages_{device}",
        "table_name": "messages",
        "write_disposition": {"disposition": "merge", "strategy": "delete-insert"},
        "primary_key": "key",
        "columns": {"payload": {"data_type": "json"}},
        "processing_steps": [{"map": keyed}],
        "endpoint": {
            "path": f"project/{project}/device/{device}/messages/paginated",
            "params": {"l": 100, "sort": "asc"},
            "data_selector": "messages",
            "paginator": {
                "type": "page_number",
                "base_page": 1,
                "page_param": "p",
                "total_path": None,
            },
            "incremental": {
                "cursor_path": "timestamp",
                "start_param": "from",
                "initial_value": "1970-01-01T00:00:00.000Z",
                "convert": lambda text: text.removesuffix("Z"),
                "row_order": "asc",
                "lag": 10,
            },
            "response_actions": [{"status_code": 404, "action": "ignore"}],
        },
    }


def load(base: str, key: str, project: str, folder: str) -> None:
    """Run the pipeline, with its state and its DuckDB file in `folder`."""
    os.environ.update(
        EXTRACT__WORKERS="8",
        EXTRACT__MAX_PARALLEL_ITEMS="16",
        NORMALIZE__WORKERS="1",
        RUNTIME__DLTHUB_TELEMETRY="false",
        RUNTIME__LOG_LEVEL="ERROR",
    )
    session, headers = requests.Client().session, {"Authentication": f"bearer {key}"}
    listed = session.get(f"{base}/v1.0/project/{project}/devices/props", headers=headers)
    devices = [device["ID"] for device in listed.json()["devices"]]
    source = rest_api_source(
        {
            "client": {"base_url": f"{base}/v1.0/", "headers": headers},
            "resources": [resource(project, device) for device in devices],
        },
        max_table_nesting=0,
        parallelized=True,
    )
    pipeline = dlt.pipeline(
        "iottly",
        pipelines_dir=f"{folder}/state",
        destination=dlt.destinations.duckdb(f"{folder}/dlt.duckdb"),
        dataset_name="iottly",
    )
    pipeline.run(source, loader_file_format="parquet")


if __name__ == "__main__":
    load(*sys.argv[1:])
