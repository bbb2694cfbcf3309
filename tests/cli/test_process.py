"""`iottly` as a process: signals, pipes, terminals, missing extras."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from iottly_async.emulator import EmulatorThread
from tests.support.scale import LONG
from tests.support.stored_rows import rows_of, truth_of

from .conftest import ROOT, Run, process, read_until, terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


SIGNALS = [(signal.SIGINT, 130, "duckdb"), (signal.SIGTERM, 143, "jsonl")]
if LONG:
    SIGNALS += [(signal.SIGINT, 130, "jsonl"), (signal.SIGTERM, 143, "duckdb")]


@pytest.mark.parametrize(("number", "code", "suffix"), SIGNALS)
def test_a_signal_ends_an_ingestion_cleanly(
    environment: dict[str, str],
    iottly: Run,
    emulator: EmulatorThread,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    suffix: str,
) -> None:
    """Fetched messages are stored, the exit code names the signal, the next run adds the rest."""
    path = tmp_path / f"telemetry.{suffix}"
    emulator.fault("stall", route="paginated", skip=10, count=1)
    seen = len(emulator.requests)
    with process(environment, "ingest", "--to", str(path), "--concurrency", "1") as running:
        emulator.until_requests(seen + 12, timeout=60)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    emulator.clear_faults()
    assert running.returncode == code, err
    report = json.loads(out)
    assert report["interrupted"]
    assert 0 < report["rows"] == sum(rows_of(path).values()) < 2000
    again = iottly("ingest", "--to", path)
    assert again.code == 0, again.err
    assert rows_of(path) == truth_of(emulator)


TAKEN_ELSEWHERE = """
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
"""
"""Another thread takes the signals, so that none interrupts a wait of the main thread."""


@pytest.mark.parametrize("before", ["", TAKEN_ELSEWHERE], ids=["", "taken by a thread"])
def test_a_second_signal_ends_at_once(before: str) -> None:
    """If a clean end takes too long, the next signal ends the process with its code."""
    code = (
        f"{before}"
        """
import asyncio
from iottly_async.cli.ingest import stop_on_signals

def show(text):
    return lambda: print(text, flush=True)

async def main():
    with stop_on_signals(show("stopping"), at_once=show("at once")):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for expected, number in (("ready\n", signal.SIGINT), ("stopping\n", signal.SIGTERM)):
            assert running.stdout.readline() == expected
            running.send_signal(number)
        assert running.stdout.read() == "at once\n"
    assert running.returncode == 143


def test_ctrl_c_exits_with_130(environment: dict[str, str], emulator: EmulatorThread) -> None:
    """Any command can be interrupted without a traceback."""
    emulator.fault("stall", route="inspect", count=1)
    seen = len(emulator.requests)
    with process(environment, "inspect") as running:
        emulator.until_requests(seen + 1, timeout=60)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    emulator.clear_faults()
    assert (running.returncode, out, err) == (130, "", "iottly: interrupted\n")


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("inspect", signal.SIGINT, 130),
        ("inspect", signal.SIGTERM, 143),
        ("emulator", signal.SIGTERM, 0),
    ],
)
def test_a_signal_is_noticed_at_once(
    environment: dict[str, str],
    emulator: EmulatorThread,
    command: str,
    number: signal.Signals,
    code: int,
) -> None:
    """A command that waits ends, also if another thread of its process took the signal."""
    emulator.fault("stall", route="inspect", count=1)
    seen = len(emulator.requests)
    run = "from iottly_async.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", f"{TAKEN_ELSEWHERE}{run}", command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        if command == "emulator":
            running.stdout.readline()
        else:
            emulator.until_requests(seen + 1, timeout=60)
        running.send_signal(number)
        running.communicate(timeout=60)
    emulator.clear_faults()
    assert running.returncode == code


def test_a_closed_pipe_is_no_error(environment: dict[str, str], emulator: EmulatorThread) -> None:
    """`iottly messages … | head -1` prints no error and exits with 0."""
    device = emulator.device_ids[0]
    with process(environment, "messages", device, "--start", "2026-01-01T00:00Z") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        json.loads(running.stdout.readline())
        running.stdout.close()
        err = running.stderr.read()
        running.wait(timeout=60)
    assert (running.returncode, err) == (0, "")


def test_output_to_a_pipe_is_complete(
    environment: dict[str, str], emulator: EmulatorThread
) -> None:
    """The reader of a pipe gets every line."""
    device = emulator.device_ids[0]
    with process(environment, "messages", device, "--start", "2026-01-01T00:00Z") as running:
        out, _ = running.communicate(timeout=60)
    assert len([json.loads(line) for line in out.splitlines()]) == len(emulator.stored(device))


def test_the_key_is_asked_for_without_echo(
    environment: dict[str, str], emulator: EmulatorThread
) -> None:
    """On a terminal there is a prompt for a missing key, and the key is not shown."""
    without = {**environment, "IOTTLY_API_KEY": ""}
    with (
        terminal() as (ours, theirs),
        process(without, "ping", stdin=theirs, stderr=theirs, start_new_session=True) as running,
    ):
        shown = read_until(ours, b"API key:")
        os.write(ours, emulator.api_key.encode() + b"\n")
        out, _ = running.communicate(timeout=60)
        os.write(theirs, b"end")
        shown += read_until(ours, b"end")
    assert running.returncode == 0
    assert json.loads(out)["status"] == "pong"
    assert emulator.api_key.encode() not in shown


def test_one_ctrl_c_ends_the_prompt_for_the_key(environment: dict[str, str]) -> None:
    """The first is enough, and the terminal echoes again."""
    import termios  # here, as Windows has none

    without = {**environment, "IOTTLY_API_KEY": ""}
    with (
        terminal() as (ours, theirs),
        process(without, "ping", stdin=theirs, stderr=theirs, start_new_session=True) as running,
    ):
        read_until(ours, b"API key:")
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
        assert b"interrupted" in read_until(ours, b"interrupted")
        assert termios.tcgetattr(theirs)[3] & termios.ECHO


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_shows_a_bar_and_a_summary(
    environment: dict[str, str], emulator: EmulatorThread, tmp_path: Path, no_color: str
) -> None:
    """The bar shows rows, speed, requests, quota, devices and the remaining time."""
    path = tmp_path / "telemetry.jsonl"
    settings = {**environment, "TERM": "xterm", "NO_COLOR": no_color, "COLUMNS": "120"}
    with (
        terminal() as (ours, theirs),
        process(settings, "ingest", "--to", str(path), stdout=theirs, stderr=theirs) as running,
    ):
        shown = read_until(ours, b"messages a second").decode()
        assert running.wait(timeout=60) == 0
    for part in ("2,000 rows", "/s", "requests", "quota unlimited", "5/5 devices", "0:00"):
        assert part in shown
    assert "2,000 in the store, 2,000 of them by this run" in shown
    assert ("\x1b[3" in shown) == (not no_color)


def test_the_emulator_runs_until_a_signal(iottly: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints its address, serves, and ends cleanly on SIGTERM."""
    with process({}, "emulator", "--devices", "2", "--messages", "50") as running:
        assert running.stdout is not None
        address = json.loads(running.stdout.readline())
        monkeypatch.setenv("IOTTLY_API_KEY", address["api_key"])
        monkeypatch.setenv("IOTTLY_BASE_URL", address["base_url"])
        monkeypatch.setenv("IOTTLY_PROJECT", address["project_id"])
        listed = iottly("devices").records
        assert [device["id"] for device in listed] == address["device_ids"]
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")


def test_the_emulator_as_a_service(environment: dict[str, str]) -> None:
    """It answers for an allowed host, reads its settings from the environment, and warns."""
    settings = {
        "IOTTLY_EMULATOR_MESSAGES": "50",
        "IOTTLY_EMULATOR_DEVICES": "3",
        "IOTTLY_EMULATOR_APPEND_RATE": "2",
        "IOTTLY_EMULATOR_CONTROL_TOKEN": "a-token-of-one-test",
    }
    options = ["--host", "0.0.0.0", "--allowed-host", "one.test", "--allowed-host", "two.test"]
    with process(settings, "emulator", "--devices", "2", *options) as running:
        assert running.stdout is not None
        address = json.loads(running.stdout.readline())
        assert len(address["device_ids"]) == 2
        token = {"Authorization": f"Bearer {settings['IOTTLY_EMULATOR_CONTROL_TOKEN']}"}
        for host in ("one.test", "two.test:99"):
            url = f"{address['base_url']}/_emulator/state"
            with urlopen(Request(url, headers={"Host": host, **token}), timeout=60) as answer:
                state = json.load(answer)
        assert (state["settings"]["messages"], state["appending"]) == (50, 2)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert err.startswith("iottly: warning: the emulator listens on 0.0.0.0")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--devices", "-1"], "devices"),
        (["--host", "0.0.0.0"], "allowed_hosts"),
        (["--rate-limit", "gold"], "rate_limit='gold'"),
        (["--port", "99999"], "port"),
        (["--jsonl", "/no/such/file"], "/no/such/file"),
    ],
)
def test_a_wrong_setting_of_the_emulator_exits_with_2(
    iottly: Run, arguments: list[str], text: str
) -> None:
    """The error names the setting, without a traceback."""
    done = iottly("emulator", *arguments)
    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without cyclopts or rich the error says what to install."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from iottly_async.__main__ import main; sys.exit(main(['ping']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'iottly-async[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_duckdb_stores_need_is_named(tmp_path: Path) -> None:
    """The error names it and the extra before anything is sent."""
    code = (
        "import sys\n"
        "from iottly_async.__main__ import main\n"
        "for package in ('duckdb', 'pyarrow'):\n"
        "    sys.modules[package] = None\n"
        f"    print(main(['ingest', '--emulator', '--to', {str(tmp_path / 'x.duckdb')!r}]))\n"
        "    del sys.modules[package]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2\n2\n"
    for package in ("duckdb", "pyarrow"):
        assert f"pip install 'iottly-async[duckdb]' (there is no {package})" in done.stderr


def test_the_example_prints_the_stored_rows(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """The example prints the rows of each device and a reading by hour."""
    path = tmp_path / "telemetry.duckdb"
    iottly("ingest", "--to", path)
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "telemetry_queries.py", path],
        capture_output=True,
        text=True,
        check=True,
    )
    total = sum(truth_of(emulator).values())
    assert done.stdout.startswith(f"{total:,} messages of 4 devices\n")
    assert "sensor_data_reading.temperature of device" in done.stdout


@pytest.mark.parametrize("suffix", ["duckdb", "jsonl", "parquet"])
def test_a_second_ingestion_into_a_store_exits_with_5(
    environment: dict[str, str],
    iottly: Run,
    emulator: EmulatorThread,
    tmp_path: Path,
    suffix: str,
) -> None:
    """The error names the run that has the store, which goes on. A scheduler can skip its turn."""
    path = tmp_path / f"telemetry.{suffix}"
    emulator.fault("stall", route="paginated", skip=3, count=1)
    seen = len(emulator.requests)
    with process(environment, "ingest", "--to", str(path), "--concurrency", "1") as first:
        emulator.until_requests(seen + 5, timeout=60)
        second = iottly("ingest", "--to", path)
        assert (second.code, second.out) == (5, ""), second.err
        assert f"process {first.pid} on" in second.err
        emulator.clear_faults()
        _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert rows_of(path) == truth_of(emulator)
