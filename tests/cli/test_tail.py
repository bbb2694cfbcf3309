"""`iottly tail`: live messages by the stream, or by polling where it does not work."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run, process


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    """An emulator that has had no stream yet."""
    with EmulatorThread(devices=4, messages=40) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def quick(emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile that shows a message soon after its time."""
    (tmp_path / "iottly").mkdir()
    (tmp_path / "iottly" / "config.toml").write_text(
        f'[quick]\nbase_url = "{emulator.base_url}"\nsettle = 0.1\n'
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("IOTTLY_PROFILE", "quick")


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread while a command runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result(timeout=60)


def test_messages_of_all_devices_come_by_the_stream(iottly: Run, emulator: EmulatorThread) -> None:
    """stderr says so. A record has the device's name; the history is not asked."""
    first, second = emulator.device_ids[:2]

    def send() -> None:
        emulator.until_streams(1, timeout=60)
        emulator.append(first, [{"payload": {"n": 0}}])
        emulator.append(second, [{"payload": {"n": 1}}])

    with meanwhile(send):
        done = iottly("tail", "-n", "2")
    assert [(each["device_id"], each["payload"]) for each in done.records] == [
        (first, {"n": 0}),
        (second, {"n": 1}),
    ]
    names = {each["id"]: each["name"] for each in iottly("devices").records}
    assert [each["device"] for each in done.records] == [names[first], names[second]]
    assert "live messages of all devices, by the stream (Ctrl-C ends)" in done.err
    assert not [each for each in emulator.requests if each.route == "paginated"]


def test_a_stream_that_does_not_work_is_replaced_by_polling(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """stderr has the reason. Only the named device's messages come."""
    device, other = emulator.device_ids[:2]
    emulator.fault("status", status=404, route="stream", count=None)

    def send() -> None:
        emulator.until_requests(1, route="paginated", timeout=60)
        emulator.append(other, 1)
        emulator.append(device, [{"payload": {"n": 7}}])

    with meanwhile(send):
        done = iottly("tail", device, "-n", "1", "--columns", "device_id,payload.n")
    assert done.records == [{"device_id": device, "payload.n": 7}], done.err
    assert "the stream does not work (stream: 404" in done.err
    assert f"live messages of device {device}, by polling" in done.err


def test_nothing_is_repeated_if_the_stream_ends_for_good(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """Polling goes on where the stream has ended; identical messages keep their number."""
    device = emulator.device_ids[3]
    same = [{"payload": {"same": True}}] * 2

    def send() -> None:
        emulator.until_streams(1, timeout=60)
        emulator.append(device, same)
        emulator.fault("status", status=404, route="stream", count=None)
        emulator.drop_streams(1012)
        emulator.until_requests(1, route="paginated", timeout=60)
        emulator.append(device, [*same[:1], {"payload": {"last": True}}])

    with meanwhile(send):
        done = iottly("tail", device, "-n", "4")
    found = [each["payload"] for each in done.records]
    assert sorted(found, key=str) == [{"last": True}, *[{"same": True}] * 3]
    assert "by polling" in done.err


def test_reconnects_are_shown(iottly: Run, emulator: EmulatorThread) -> None:
    """stderr says that the stream is disconnected and connected again, and nothing is missed."""
    device = emulator.device_ids[1]

    def send() -> None:
        emulator.until_streams(1, timeout=60)
        emulator.drop_streams(1012)
        emulator.append(device, [{"payload": {"n": 1}}])
        emulator.until_streams(2, timeout=60)
        emulator.append(device, [{"payload": {"n": 2}}])

    with meanwhile(send):
        done = iottly("tail", device, "-n", "2")
    assert [each["payload"]["n"] for each in done.records] == [1, 2]
    assert "the stream is disconnected" in done.err
    assert "the stream is connected again" in done.err
    assert "may be missing; they are read from the history" in done.err


def test_a_device_that_does_not_exist_exits_with_1(iottly: Run, emulator: EmulatorThread) -> None:
    """Nothing is awaited; the error names the nearest."""
    right = emulator.device_ids[0]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    done = iottly("tail", wrong)
    assert (done.code, done.out) == (1, "")
    assert right in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--tz", "Rome"], "--tz must be"),
        (["--columns", "devise"], "did you mean 'device'?"),
        ([""], "device is missing"),
    ],
)
def test_a_wrong_argument_exits_with_2(
    iottly: Run, emulator: EmulatorThread, arguments: list[str], text: str
) -> None:
    """Nothing is sent."""
    before = len(emulator.requests)
    done = iottly("tail", *arguments)
    assert (done.code, done.out, len(emulator.requests)) == (2, "", before)
    assert text in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_sigterm_ends_with_whole_output(
    environment: dict[str, str], emulator: EmulatorThread
) -> None:
    """The JSON array is closed, and the exit code is 143."""
    with process(environment, "tail", "--format", "json") as running:
        emulator.until_streams(1, timeout=60)
        emulator.append(emulator.device_ids[0], [{"payload": {"n": n}} for n in range(2)])
        assert running.stdout is not None
        out = running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        out += running.stdout.read()
        assert running.stderr is not None
        err = running.stderr.read()
        running.wait(timeout=60)
    assert [each["payload"] for each in json.loads(out)] == [{"n": 0}, {"n": 1}]
    assert running.returncode == 143
    assert err.endswith("iottly: ended by SIGTERM\n")
