"""The emulator as a process of its own."""

import json
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest

from iottly_async.emulator import DEVELOPMENT_KEY
from iottly_async.emulator.__main__ import main


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """It prints its address, serves, and ends cleanly on either signal."""
    command = [sys.executable, "-m", "iottly_async.emulator", "--devices=1", "--messages=3"]
    with subprocess.Popen(
        [*command, "--append-rate=5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(3)]
            printed = dict(line.split("=", 1) for line in lines)
            with urlopen(f"{printed['IOTTLY_BASE_URL']}/_emulator/state", timeout=10) as answer:
                state = json.load(answer)
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert printed["IOTTLY_API_KEY"] == DEVELOPMENT_KEY
    assert printed["IOTTLY_PROJECT"] == state["project_id"]
    assert state["appending"] == 5


@pytest.mark.parametrize("arguments", [["--rate-limit=gold"], ["--days=0"], ["--jsonl=missing"]])
def test_settings_that_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is not allowed ends it with code 2 and one line that says why."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
