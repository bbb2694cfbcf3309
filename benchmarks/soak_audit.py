"""An audit of the soak, in a process of its own: what commands did, against what was told.

The soak measures its own memory, so what is large in an audit, the emulator's records, is
read elsewhere. ``python -m benchmarks.soak_audit URL`` takes what the callers of commands
were told as JSON on its input, prints the counts, and lets the emulator begin a new book.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any
from urllib.request import Request, urlopen


def control(base_url: str, name: str, body: object = None) -> Any:
    """Ask the emulator's control address; with a body, tell it."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{base_url}/_emulator/{name}", data, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as response:
        return json.load(response)


def compared(told: dict[str, str], executed: Counter[str]) -> dict[str, dict[str, int]]:
    """Counts by what was told, and of what must not be."""
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for text, outcome in told.items():
        times = executed[text]
        counts[f"commands told {outcome}"] += 1
        wrong["commands executed twice"] += times > 1
        wrong["commands told done that were not"] += outcome == "done" and times == 0
        wrong["commands told not done that were"] += outcome == "not done" and times > 0
    return {"counts": counts, "wrong": wrong}


if __name__ == "__main__":
    url = sys.argv[1]
    records = control(url, "commands")
    told = json.load(sys.stdin)
    print(json.dumps(compared(told, Counter(record["body"].get("command") for record in records))))
    control(url, "reset", {})
