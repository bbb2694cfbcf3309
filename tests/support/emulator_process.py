"""The emulator as a process of its own, which can be killed and started again on its port.

```python
with process("--messages=500", "--database=fleet.db") as (running, printed):
    url = printed["IOTTLY_BASE_URL"]
    running.kill()
with process("--messages=500", "--database=fleet.db", f"--port={url.rsplit(':', 1)[1]}"):
    ...
```
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from iottly_async.emulator import DEVELOPMENT_KEY


@contextmanager
def process(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process, and what it printed at its start."""
    command = [sys.executable, "-m", "iottly_async.emulator", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            lines = [running.stdout.readline().strip() for _ in range(3)]
            yield running, dict(line.split("=", 1) for line in lines)
        finally:
            running.kill()


def control(base_url: str, name: str, body: Any = None) -> Any:
    """Ask the control address."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{base_url}/_emulator/{name}", data, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)


def rows(base_url: str, project: str, device: str) -> list[Any]:
    """The newest messages of a device."""
    request = Request(f"{base_url}/v1.0/project/{project}/device/{device}/messages/paginated?l=100")
    request.add_header("Authentication", f"bearer {DEVELOPMENT_KEY}")
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)["messages"]  # type: ignore[no-any-return]
