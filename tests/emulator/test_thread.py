"""The emulator in a thread, for synchronous code."""

import gc
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import pytest

from iottly_async.emulator import EmulatorThread


def get(emulator: EmulatorThread, path: str) -> dict[str, object]:
    """Send a GET request with the standard library."""
    request = Request(
        emulator.base_url + path, headers={"Authentication": f"bearer {emulator.api_key}"}
    )
    with urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_the_same_methods() -> None:
    """The thread's handle has the methods of the asynchronous emulator."""
    with EmulatorThread(devices=2, messages=100) as emulator:
        device = emulator.device_ids[0]
        assert get(emulator, "/v1.0/project/ping") == {"status": "pong"}
        emulator.append(device, [{"payload": {"n": 1}}])
        assert emulator.stored(device)[-1]["payload"] == {"n": 1}
        assert [record.route for record in emulator.requests] == ["ping"]
        emulator.fault("empty")
        emulator.clear_faults()
        emulator.start_appending(1000)
        emulator.stop_appending()
        emulator.clock.offset = 5
        emulator.reset()
        assert emulator.clock.offset == 0
        assert sum(len(emulator.stored(d)) for d in emulator.device_ids) == 100


def test_many_threads() -> None:
    """If threads append at once, nothing is lost and every row has its own number."""
    with EmulatorThread(devices=1, messages=0) as emulator, ThreadPoolExecutor(8) as pool:
        device = emulator.device_ids[0]
        numbers = list(pool.map(lambda _: emulator.append(device, 3), range(50)))
        assert sorted(n for three in numbers for n in three) == list(range(1, 151))
        list(pool.map(lambda _: get(emulator, "/v1.0/project/ping"), range(20)))
        emulator.until_requests(20, timeout=10)


def test_waiting_has_an_end() -> None:
    """Waiting for a request that does not come raises `TimeoutError`."""
    with EmulatorThread(devices=1, messages=0) as emulator, pytest.raises(TimeoutError):
        emulator.until_requests(1, timeout=0.01)


def test_nothing_is_left() -> None:
    """After closing, the thread is gone, the port is free and the records are readable."""
    before = threading.active_count()
    with EmulatorThread(devices=1, messages=0) as emulator:
        get(emulator, "/v1.0/project/ping")
        url = emulator.base_url
    assert threading.active_count() == before
    assert len(emulator.requests) == 1
    with EmulatorThread(devices=1, messages=0, port=int(url.rsplit(":", 1)[1])) as again:
        assert again.base_url == url


def test_a_start_that_fails() -> None:
    """If the start fails, the error is raised in the caller's thread, and no thread is left."""
    before = threading.active_count()
    with EmulatorThread(devices=1, messages=0) as emulator:
        port = int(emulator.base_url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            EmulatorThread(devices=1, messages=0, port=port).start()
    assert threading.active_count() == before


def test_before_it_runs() -> None:
    """A handle that has not been started raises `RuntimeError`."""
    emulator = EmulatorThread(devices=1, messages=0)
    with pytest.raises(RuntimeError, match="not been started"):
        emulator.device_ids  # noqa: B018 - reading it is the point
    with pytest.raises(RuntimeError, match="not running"):
        emulator.until_requests(1)


def test_a_request_that_stalls_does_not_outlive_the_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A stalled request whose client has gone is ended with the emulator, without a word."""
    with EmulatorThread(devices=1, messages=0) as emulator:
        emulator.fault("stall", count=None)
        host, port = emulator.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /v1/devices HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            emulator.until_requests(1)
        with urlopen(f"{emulator.base_url}/_emulator/health", timeout=10) as answer:
            answer.read()  # by now the emulator has seen that the client has gone
    del emulator
    gc.collect()  # a task that is still pending is reported now
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
