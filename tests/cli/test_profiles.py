"""`--profile`: every command that uses the service takes its settings from the user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run

ANOTHER = "another-project"


@pytest.fixture
def settings(emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's file, with the profile `plant` for the emulator, and no environment for it."""
    folder = tmp_path / "iottly"
    folder.mkdir()
    path = folder / "config.toml"
    path.write_text(
        f'[plant]\nbase_url = "{emulator.base_url}"\nproject = "{emulator.project_id}"\n'
        f'[other]\nbase_url = "{emulator.base_url}"\nproject = "{ANOTHER}"\n'
        f'[host]\nbase_url = "{emulator.base_url}"\n'
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return path


@pytest.fixture
def alone(iottly: Run, settings: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs `iottly` without IOTTLY_BASE_URL and IOTTLY_PROJECT."""
    monkeypatch.delenv("IOTTLY_BASE_URL")
    monkeypatch.delenv("IOTTLY_PROJECT")
    return iottly


def test_every_command_of_the_service_takes_a_profile(
    alone: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """Host and project come from the profile."""
    device = emulator.device_ids[0]
    for arguments in (
        ["ping"],
        ["inspect"],
        ["licenses"],
        ["devices"],
        ["devices", "--fleet"],
        ["rename", device, "pump"],
        ["send", device, "echo", "content=hi"],
        ["messages", device],
        ["ingest", device, "--to", str(tmp_path / "x.jsonl")],
        ["doctor", "--yes"],
    ):
        done = alone(*arguments, "--profile", "plant")
        assert done.code == 0, (arguments, done.err)


def test_a_variable_names_the_profile(alone: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """IOTTLY_PROFILE is as `--profile`."""
    monkeypatch.setenv("IOTTLY_PROFILE", "plant")
    assert alone("inspect").code == 0


def test_an_option_comes_before_the_environment_and_that_before_the_profile(
    iottly: Run, settings: Path, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project of an option, of IOTTLY_PROJECT and of the profile; the host alike."""
    assert iottly("inspect", "--profile", "other").code == 0
    assert iottly("inspect", "--profile", "plant", "--project", ANOTHER).code == 3
    monkeypatch.setenv("IOTTLY_PROJECT", ANOTHER)
    assert iottly("inspect", "--profile", "plant").code == 3
    assert iottly("inspect", "--profile", "plant", "-p", emulator.project_id).code == 0
    monkeypatch.delenv("IOTTLY_PROJECT")
    assert iottly("inspect", "--profile", "plant").code == 0
    assert iottly("inspect", "--profile", "other").code == 3
    monkeypatch.setenv("IOTTLY_BASE_URL", "https://user:hidden@iot.example")
    done = iottly("inspect", "--profile", "plant")
    assert done.code == 2
    assert "IOTTLY_BASE_URL must not hold a user or password" in done.err


def test_a_proxy_is_used_where_it_is_asked_for(
    alone: Run, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--proxy`, IOTTLY_PROXY and `proxy` in the profile, in this order, say whether."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("IOTTLY_RETRY_MAX_ATTEMPTS", "1")
    settings.write_text(settings.read_text() + 'proxy = "env"\n')
    refused = "no connection to the proxy 127.0.0.1:1"
    assert alone("ping", "--profile", "plant").code == 0
    assert refused in alone("ping", "--profile", "plant", "--proxy", "env").err
    assert refused in alone("ping", "--profile", "host").err
    monkeypatch.setenv("IOTTLY_PROXY", "none")
    assert alone("ping", "--profile", "host").code == 0
    assert refused in alone("ping", "--profile", "host", "--proxy", "env").err


def test_a_proxy_is_not_named_by_an_argument(alone: Run, emulator: EmulatorThread) -> None:
    """Its password would be seen by others, so the error says where it stands, without it."""
    before = len(emulator.requests)
    done = alone("ping", "--profile", "plant", "--proxy", "http://user:hidden@127.0.0.1:1")
    assert (done.code, len(emulator.requests)) == (2, before)
    assert "https_proxy=http://host:port" in done.err
    assert "hidden" not in done.err


def test_a_profile_without_a_project_needs_one(alone: Run) -> None:
    """The error says where a project can be named."""
    done = alone("inspect", "--profile", "host")
    assert done.code == 2
    assert "use a profile that has it" in done.err


def test_a_key_in_the_file_sends_nothing(
    alone: Run, settings: Path, emulator: EmulatorThread
) -> None:
    """The error names the file, and not the key."""
    settings.write_text(settings.read_text() + '[plant2]\napi_key = "ik_live_secret"\n')
    before = len(emulator.requests)
    done = alone("inspect", "--profile", "plant")
    assert done.code == 2
    assert "a profile never holds a key" in done.err
    assert "ik_live_secret" not in done.err
    assert len(emulator.requests) == before
