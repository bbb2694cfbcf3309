"""The emulator as a process of its own."""

import logging
import signal
from pathlib import Path

import attrs
import pytest

from iottly_async.emulator import DEVELOPMENT_KEY, EmulatorSettings
from iottly_async.emulator.__main__ import _log_handler, main
from tests.support.emulator_process import control, process, rows


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """It prints its address, serves, and ends cleanly on either signal."""
    with process("--devices=1", "--messages=3", "--append-rate=5") as (running, printed):
        state = control(printed["IOTTLY_BASE_URL"], "state")
        running.send_signal(number)
        _, errors = running.communicate(timeout=10)
    assert (running.returncode, errors) == (0, "")
    assert printed["IOTTLY_API_KEY"] == DEVELOPMENT_KEY
    assert printed["IOTTLY_PROJECT"] == state["project_id"]
    assert state["appending"] == 5


def test_killed_and_started_again(tmp_path: Path) -> None:
    """After a kill it starts again on its port, and its file still has every message."""
    options = ["--devices=1", "--messages=20", f"--database={tmp_path / 'fleet.db'}"]
    with process(*options) as (running, printed):
        url, project = printed["IOTTLY_BASE_URL"], printed["IOTTLY_PROJECT"]
        device = control(url, "state")["devices"][0]["id"]
        control(url, "append", {"device_id": device, "messages": 7})
        before = rows(url, project, device)
        running.kill()
    assert len(before) == 27
    with process(*options, f"--port={url.rsplit(':', 1)[1]}") as (_, printed):
        assert printed["IOTTLY_BASE_URL"] == url
        assert rows(url, project, device) == before


def test_the_same_seed_again() -> None:
    """Without a file, the same seed gives the same messages after a kill."""
    options = ["--devices=2", "--messages=40", "--seed=spring"]
    found = []
    port = "0"
    for _ in range(2):
        with process(*options, f"--port={port}") as (_, printed):
            url = printed["IOTTLY_BASE_URL"]
            port = url.rsplit(":", 1)[1]
            device = control(url, "state")["devices"][0]["id"]
            found.append((url, rows(url, printed["IOTTLY_PROJECT"], device)))
    assert found[0] == found[1]


def test_settings_of_options_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is an option and a variable of the environment; the option goes first."""
    monkeypatch.setenv("IOTTLY_EMULATOR_DEVICES", "3")
    monkeypatch.setenv("IOTTLY_EMULATOR_MESSAGES", "9")
    monkeypatch.setenv("IOTTLY_EMULATOR_RATE_LIMIT", "pro")
    monkeypatch.setenv("IOTTLY_EMULATOR_APPEND_RATE", "2.5")
    monkeypatch.setenv("IOTTLY_EMULATOR_SEED", "")
    options = ["--devices=2", "--late-by=0.5,1.5", "--round-from", "--command-types=echo,blink"]
    options.append('--command-defaults={"echo": {"content": "x"}}')
    with process(*options, "--rate-headers=none", "--refusal-status=503") as (_, printed):
        state = control(printed["IOTTLY_BASE_URL"], "state")
    settings = state["settings"]
    assert (settings["devices"], settings["messages"], settings["seed"]) == (2, 9, 1)
    assert (settings["rate_limit"], settings["rate_headers"]) == ("pro", "none")
    assert (settings["late_by"], settings["round_from"]) == ([0.5, 1.5], True)
    assert (settings["refusal_status"], settings["command_types"]) == (503, ["blink", "echo"])
    assert settings["command_defaults"] == {"echo": {"content": "x"}}
    assert state["appending"] == 2.5


def test_every_setting_can_be_given_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names each setting and says what it is."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for field in attrs.fields(EmulatorSettings):
        name = field.name.replace("_", "-").replace("allowed-hosts", "allowed-host")
        _, option, text = shown.partition(f"\n  --{name}")
        assert option, field.name
        assert len(text.split("\n  --")[0].split()) > 5, field.name


@pytest.mark.parametrize(
    ("name", "text"),
    [("ROUND_FROM", "maybe"), ("PORT", "http"), ("UNTIL", "soon"), ("APPEND_RATE", "many")],
)
def test_a_variable_that_is_refused(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that cannot be read ends it with code 2 and one line that names it."""
    monkeypatch.setenv(f"IOTTLY_EMULATOR_{name}", text)
    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"IOTTLY_EMULATOR_{name}='{text}'" in line


@pytest.mark.parametrize("arguments", [["--rate-limit=gold"], ["--days=0"], ["--jsonl=missing"]])
def test_settings_that_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is not allowed ends it with code 2 and one line that says why."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_an_error_cannot_steer_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file's name is shown with its control characters escaped."""
    path = tmp_path / "\x1b[2J\x9b\u202e.jsonl"
    path.write_text("{}\n")
    assert main(["--jsonl", str(path)]) == 2
    _, errors = capfd.readouterr()
    assert r"\x1b[2J\x9b\u202e.jsonl, line 1: not a message" in errors
    assert errors.removesuffix("\n").isprintable()


def test_the_log_cannot_steer_the_terminal() -> None:
    """A record and its traceback are shown with control characters escaped."""
    error = ValueError("\x1b[2J\n\x9b")
    cause = (ValueError, error, None)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "from %s", ("\ud800\u2028",), cause)
    shown = _log_handler().format(record).split("\n")
    assert all(map(str.isprintable, shown))
    assert shown[0] == r"ERROR: from \ud800\u2028"
    assert shown[-2:] == [r"ValueError: \x1b[2J", r"\x9b"]
