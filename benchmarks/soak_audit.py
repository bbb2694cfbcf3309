"""The soak's audit, in a process of its own: executed commands, compared with their outcomes.

The soak measures its own memory, so another process reads the emulator's records, which are
large. `python -m benchmarks.soak_audit URL` reads the outcomes of commands as JSON from stdin,
prints the counts as JSON, and clears the emulator's records.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any
from urllib.request import Request, urlopen


def control(base_url: str, name: str, body: object = None) -> Any:
    """Send a request to the emulator's control address: GET, or POST if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{base_url}/_emulator/{name}", data, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as response:
        return json.load(response)


def compared(outcomes: dict[str, str], executed: Counter[str]) -> dict[str, dict[str, int]]:
    """Count the commands by outcome, and those whose outcome is wrong."""
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for text, outcome in outcomes.items():
        times = executed[text]
        counts[f"commands {outcome}"] += 1
        wrong["commands executed twice"] += times > 1
        wrong["commands done but not executed"] += outcome == "done" and times == 0
        wrong["commands not done but executed"] += outcome == "not done" and times > 0
    return {"counts": counts, "wrong": wrong}


if __name__ == "__main__":
    url = sys.argv[1]
    records = control(url, "commands")
    outcomes = json.load(sys.stdin)
    executed = Counter(record["body"].get("command") for record in records)
    print(json.dumps(compared(outcomes, executed)))
    control(url, "reset", {})
