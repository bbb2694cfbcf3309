"""Exit codes, and the errors on stderr that go with them."""

from __future__ import annotations

import pytest

from iottly_async.cli.exit_codes import MEANINGS, ExitCode
from iottly_async.emulator import EmulatorThread

from .conftest import Run


@pytest.mark.parametrize("arguments", [["nope"], ["messages"], ["ping", "--nope"], ["ingest"]])
def test_wrong_usage_exits_with_2(iottly: Run, arguments: list[str]) -> None:
    """stderr explains an unknown command or option, and a missing argument."""
    done = iottly(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize(
    ("name", "text"),
    [("IOTTLY_API_KEY", "API key is missing"), ("IOTTLY_PROJECT", "project is missing")],
)
def test_a_missing_setting_exits_with_2(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """Without a terminal there is no prompt; the error names the environment variable."""
    monkeypatch.delenv(name)
    done = iottly("inspect")
    assert done.code == 2
    assert text in done.err
    assert name in done.err


def test_an_insecure_host_is_refused_by_its_variable(
    iottly: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for plain http names the environment variable, not a Python setting."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://iot.example")
    done = iottly("ping")
    assert (done.code, done.out) == (2, "")
    assert "IOTTLY_BASE_URL" in done.err
    assert "use https" in done.err
    assert "True" not in done.err


def test_an_error_of_the_service_exits_with_1(iottly: Run, emulator: EmulatorThread) -> None:
    """stderr has the service's own text."""
    done = iottly("send", emulator.device_ids[0], "undeclared", "a=1")
    assert (done.code, done.out) == (1, "")
    assert "undeclared" in done.err


def test_no_connection_exits_with_1(iottly: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without a listener is an error without a traceback."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://127.0.0.1:1")
    done = iottly("ping")
    assert done.code == 1
    assert "no connection" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_exits_with_3(iottly: Run, emulator: EmulatorThread, status: int) -> None:
    """An unknown key (401) and a key without access (403) have an exit code of their own."""
    emulator.fault("status", status=status, route="inspect", count=1)
    assert iottly("inspect").code == 3


def test_no_output_holds_the_key(
    iottly: Run, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither data nor errors show the key."""
    monkeypatch.setenv("IOTTLY_API_KEY", "ik_live_a_secret")
    for arguments in (["ping"], ["inspect"], ["devices", "--fleet"]):
        done = iottly(*arguments)
        assert "secret" not in done.out + done.err


def test_the_help_lists_every_exit_code(iottly: Run) -> None:
    """No code is missing."""
    shown = " ".join(iottly("--help").out.split())
    for code in ExitCode:
        assert f" {code:d} {MEANINGS[code]} " in f"{shown} "


def test_help_and_version_go_to_stdout(iottly: Run) -> None:
    """Both can be piped."""
    assert iottly("--version").out.strip()
    assert "ingest" in iottly("--help").out


@pytest.mark.parametrize("kind", [".duckdb", ".jsonl.zst", ".parquet", "postgresql://"])
def test_the_help_of_ingest_names_every_kind_of_store(iottly: Run, kind: str) -> None:
    """The help lists every store that a user can choose."""
    assert kind in iottly("ingest", "--help").out
