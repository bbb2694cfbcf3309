"""The vendor's own curl commands, with only the host replaced."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from iottly_async.emulator import EmulatorThread

LINES = {
    "inspect": r"""
curl -H 'Authentication: bearer <API_KEY>' \
  https://api.cloud.iottly.com/v1.0/project/<PROJECT_ID>/inspect
""",
    "license": r"""
curl -H 'Authentication: bearer <API_KEY>' \
  https://api.cloud.iottly.com/v1.0/project/<PROJECT_ID>/license
""",
    "rename": r"""
curl -X PUT \
  -H 'Authentication: bearer <API_KEY>' \
  -H 'Content-type: application/json' \
  --data '{"name": "my-sensor-01"}' \
  https://api.cloud.iottly.com/v1.0/project/<PROJECT_ID>/device/<DEVICE_ID>/props
""",
    "command": r"""
curl -H 'Authentication: bearer <API_KEY>' \
  -H 'Content-Type: application/json' \
  --data '{"cmd_type": "echo", "values": {"echo.content": "hello!"}}' \
  https://api.cloud.iottly.com/v1.0/project/<PROJECT_ID>/device/<DEVICE_ID>/command
""",
    "history": r"""
curl -H 'Authentication: bearer <API_KEY>' \
  https://api.cloud.iottly.com/v1.0/project/<PROJECT_ID>/messages/<DEVICE_ID>
""",
}

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """An emulator that curl can reach."""
    with EmulatorThread(devices=2, messages=100) as running:
        yield running


def curl(
    emulator: EmulatorThread, name: str, *, key: str | None = None
) -> tuple[int, dict[str, object]]:
    """Run a printed command, with host and placeholders replaced."""
    line = (
        LINES[name]
        .replace("https://api.cloud.iottly.com", emulator.base_url)
        .replace("<API_KEY>", key or emulator.api_key)
        .replace("<PROJECT_ID>", emulator.project_id)
        .replace("<DEVICE_ID>", emulator.device_ids[0])
    )
    script = line.strip() + r" --silent --noproxy '*' --write-out '\n%{http_code}'"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(body)


def test_inspect(emulator: EmulatorThread) -> None:
    """The project is shown."""
    status, body = curl(emulator, "inspect")
    assert (status, body["id"]) == (200, emulator.project_id)


def test_license(emulator: EmulatorThread) -> None:
    """The licences are listed."""
    status, body = curl(emulator, "license")
    assert (status, len(body)) == (200, 7)


def test_rename(emulator: EmulatorThread) -> None:
    """The device is renamed."""
    status, body = curl(emulator, "rename")
    assert (status, body["name"], body["ID"]) == (200, "my-sensor-01", emulator.device_ids[0])


def test_command(emulator: EmulatorThread) -> None:
    """The command is executed."""
    status, _ = curl(emulator, "command")
    assert status == 200
    assert emulator.commands[-1].body["values"] == {"echo.content": "hello!"}


def test_history(emulator: EmulatorThread) -> None:
    """The newest messages are listed."""
    status, body = curl(emulator, "history")
    assert (status, body["status"]) == (200, 200)
    assert isinstance(body["messages"], list)
    assert len(body["messages"]) == 10


def test_a_wrong_key(emulator: EmulatorThread) -> None:
    """The same line with another key is refused."""
    status, body = curl(emulator, "inspect", key="ik_wrong")
    assert (status, list(body)) == (401, ["error"])
