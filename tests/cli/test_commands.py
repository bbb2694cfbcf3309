"""`iottly send` and `iottly run`: a command to a device."""

from __future__ import annotations

import signal
import sys

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run, process


def test_send_decodes_values_that_are_json(iottly: Run, emulator: EmulatorThread) -> None:
    """A number is sent as a number, other text as text; the device gets the command once."""
    before = len(emulator.commands)
    done = iottly(
        "send", emulator.device_ids[0], "echo", "content=hi there", "level=3", 'text="3"', "e="
    )
    (command,) = emulator.commands[before:]
    assert command.body["values"] == {
        "echo.content": "hi there",
        "echo.level": 3,
        "echo.text": "3",
        "echo.e": "",
    }
    assert (done.code, done.out) == (0, "")
    assert "accepted echo" in done.err


def test_run_prints_what_the_device_wrote(iottly: Run, emulator: EmulatorThread) -> None:
    """A table is the text alone; a pipe gets a record. A name and both ids are taken."""
    name = iottly("devices").records[0]["name"]
    for device in (emulator.fleet_ids[0], emulator.device_ids[0], name):
        done = iottly("run", device, "echo hello", "--format", "table")
        assert (done.code, done.out) == (0, "hello\n")
    (record,) = iottly("run", name, "echo hello").records
    assert (record["exit_code"], record["stdout"], record["stderr"]) == (0, "hello\n", "")


def test_run_exits_with_1_if_the_device_does_not_succeed(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """stderr has what the device wrote there, and its exit code."""
    done = iottly("run", emulator.fleet_ids[0], "nope", "--format", "table")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("sh: nope: not found\n")
    assert "completed, exit code 127" in done.err
    assert iottly("run", emulator.fleet_ids[0], "exit 3").records[0]["exit_code"] == 3


def test_run_says_that_a_device_is_offline_or_unknown(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """The exit code is 1, and the nearest id is named."""
    right = emulator.fleet_ids[1]
    emulator.set_connected(right, False)
    done = iottly("run", right, "uptime")
    emulator.set_connected(right, True)
    assert (done.code, done.out) == (1, "")
    assert "not currently connected" in done.err
    done = iottly("run", right[:-1] + ("0" if right[-1] != "0" else "1"), "uptime")
    assert (done.code, done.out) == (1, "")
    assert right in done.err
    done = iottly("run", "pmup", "uptime")
    assert (done.code, "the fleet has no device 'pmup'" in done.err) == (1, True)


@pytest.mark.parametrize("command", ["send", "run"])
@pytest.mark.parametrize("named", [False, True])
def test_a_dry_run_shows_the_request_and_sends_nothing(
    iottly: Run,
    emulator: EmulatorThread,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    named: bool,
) -> None:
    """The request is the one that is sent otherwise. No key is needed, and none is shown."""
    ids = emulator.device_ids if command == "send" else emulator.fleet_ids
    words = ("echo", "content=hi") if command == "send" else ("uptime", "--timeout", "7")
    assert iottly(command, ids[0], *words).code == 0
    sent, before = emulator.commands[-1], len(emulator.requests)
    monkeypatch.delenv("IOTTLY_API_KEY")
    done = iottly(command, "a name" if named else ids[0], *words, "--dry-run")
    (shown,) = done.records
    assert (done.code, len(emulator.requests)) == (0, before)
    assert shown["body"] == sent.body
    assert (shown["method"], shown["url"].count(ids[0])) == ("POST", 0 if named else 1)
    assert any(value.endswith("earer KEY") for value in shown["headers"].values())
    assert ("DEVICE_ID stands for the id of 'a name'" in done.err) is named
    assert "nothing was sent" in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "dev_1", ""], "command must be"),
        (["run", "", "uptime"], "device is missing"),
        (["run", "dev_1", "uptime", "--timeout", "0"], "--timeout"),
        (["run", "dev_1", "uptime", "--timeout", "0", "--dry-run"], "--timeout"),
        (["send", "", "echo", "--dry-run"], "device is missing"),
    ],
)
def test_a_wrong_argument_of_a_command_sends_nothing(
    iottly: Run, emulator: EmulatorThread, arguments: list[str], text: str
) -> None:
    """The exit code is 2, also for a dry run."""
    before = len(emulator.requests)
    done = iottly(*arguments)
    assert (done.code, done.out, len(emulator.requests)) == (2, "", before)
    assert text in done.err


def test_a_text_of_a_device_steers_no_terminal(iottly: Run, emulator: EmulatorThread) -> None:
    """What steers a terminal is escaped; lines stay, and tabs are spaces."""
    done = iottly("run", emulator.fleet_ids[0], "echo '\x1b[2J\ta'", "--format", "table")
    assert done.out == "\\u001b[2J    a\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_says_that_a_command_was_sent(
    environment: dict[str, str], emulator: EmulatorThread
) -> None:
    """The id is there for later. The command is not sent again."""
    before, seen = len(emulator.commands), len(emulator.requests)
    with process(environment, "run", emulator.fleet_ids[0], "sleep 100") as running:
        emulator.until_requests(seen + 2, timeout=60)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "the command was sent before this, as cmd_" in err
    assert err.endswith("iottly: interrupted\n")
    assert len(emulator.commands) == before + 1
