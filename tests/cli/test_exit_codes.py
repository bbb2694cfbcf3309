"""Exit codes, and what is said on stderr with them."""

from __future__ import annotations

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run


@pytest.mark.parametrize("arguments", [["nope"], ["messages"], ["ping", "--nope"], ["ingest"]])
def test_usage_is_2(iottly: Run, arguments: list[str]) -> None:
    """An unknown command or option, or a missing argument, is explained on stderr."""
    done = iottly(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize(
    ("name", "told"),
    [("IOTTLY_API_KEY", "API key is missing"), ("IOTTLY_PROJECT", "project is missing")],
)
def test_what_is_missing_in_the_environment_is_usage(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    """Without a terminal nobody is asked; the text says where it is to be set."""
    monkeypatch.delenv(name)
    done = iottly("inspect")
    assert done.code == 2
    assert told in done.err
    assert name in done.err


def test_a_host_that_the_key_is_not_sent_to_is_told_by_its_variable(
    iottly: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is refused with what can be done in a shell, and not in Python."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://iot.example")
    done = iottly("ping")
    assert (done.code, done.out) == (2, "")
    assert "IOTTLY_BASE_URL" in done.err
    assert "use https" in done.err
    assert "True" not in done.err


def test_an_error_of_the_service_is_1(iottly: Run, emulator: EmulatorThread) -> None:
    """What the service said is on stderr."""
    done = iottly("send", emulator.device_ids[0], "undeclared", "a=1")
    assert (done.code, done.out) == (1, "")
    assert "undeclared" in done.err


def test_no_connection_is_1(iottly: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that nobody listens at is an error without a traceback."""
    monkeypatch.setenv("IOTTLY_BASE_URL", "http://127.0.0.1:1")
    done = iottly("ping")
    assert done.code == 1
    assert "no connection" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_3(iottly: Run, emulator: EmulatorThread, status: int) -> None:
    """Unknown, or without access: the key is what is to be looked at."""
    emulator.fault("status", status=status, route="inspect", count=1)
    assert iottly("inspect").code == 3


def test_no_output_holds_the_key(
    iottly: Run, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what succeeds nor what fails shows it."""
    monkeypatch.setenv("IOTTLY_API_KEY", "ik_live_a_secret")
    for arguments in (["ping"], ["inspect"], ["devices", "--fleet"]):
        done = iottly(*arguments)
        assert "secret" not in done.out + done.err


@pytest.mark.parametrize("form", ["table", "jsonl", "json"])
def test_every_form_prints_the_same_devices(
    iottly: Run, emulator: EmulatorThread, form: str
) -> None:
    """`--format` wins over what stdout is; no id is cut short in any of them."""
    done = iottly("devices", "--format", form)
    assert done.code == 0
    assert all(device in done.out for device in emulator.device_ids)


def test_help_and_version_are_0(iottly: Run) -> None:
    """Both go to stdout."""
    assert iottly("--version").out.strip()
    assert "ingest" in iottly("--help").out


@pytest.mark.parametrize("kind", [".duckdb", ".jsonl.zst", ".parquet", "postgresql://"])
def test_the_help_of_ingest_names_every_kind_of_store(iottly: Run, kind: str) -> None:
    """Who asks where messages can go is told all of it."""
    assert kind in iottly("ingest", "--help").out
