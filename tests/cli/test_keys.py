"""Where a command finds the key: the environment, a command, the keyring, a prompt."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from iottly_async.cli import key
from iottly_async.emulator import EmulatorThread

from .conftest import Run


class KeyringError(Exception):
    """The error of a keyring, as the package `keyring` has it."""


class NoKeyringError(KeyringError):
    """There is no keyring on this machine."""


class Keyring(ModuleType):
    """Stands in for the package `keyring`, which few machines have."""

    def __init__(self, kept: dict[tuple[str, str], str | Exception]) -> None:
        super().__init__("keyring")
        self.errors = ModuleType("keyring.errors")
        vars(self.errors).update(KeyringError=KeyringError, NoKeyringError=NoKeyringError)
        self.kept = kept

    def get_password(self, service: str, name: str) -> str | None:
        """The password of a service's user."""
        found = self.kept.get((service, name))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def profile(
    iottly: Run, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """The user's file with the profile `plant`; the environment has no key."""
    folder = tmp_path / "iottly"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("IOTTLY_API_KEY")
    path = folder / "config.toml"
    path.write_text(f'[plant]\nproject = "{emulator.project_id}"\n')
    return path


def use_command(profile: Path, *words: str) -> None:
    """Let the profile have a key command."""
    with profile.open("a") as file:
        file.write(f"key_command = '''{shlex.join(words)}'''\n")


def use_keyring(monkeypatch: pytest.MonkeyPatch, **kept: str | Exception) -> None:
    """Let the machine have a keyring with keys by the names of profiles."""
    module = Keyring({("iottly", name): value for name, value in kept.items()})
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", module.errors)


def python(program: str) -> list[str]:
    """The words of a command that runs a program in Python."""
    return [sys.executable, "-c", program]


def test_a_command_prints_the_key(
    iottly: Run, profile: Path, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """Its words are split as in a shell, and no shell sees them. What it says is not shown."""
    kept = tmp_path / "$(touch shell); key"
    kept.write_text(f"{emulator.api_key}\n")
    program = "import sys; print(open(sys.argv[1]).read()); print('hidden', file=sys.stderr)"
    use_command(profile, *python(program), str(kept))
    done = iottly("inspect", "--profile", "plant")
    assert (done.code, done.err) == (0, "")
    assert not Path("shell").exists()


def test_the_order_in_which_keys_are_looked_for(
    iottly: Run, profile: Path, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment, then the profile's command, then the keyring by the profile's name."""
    use_keyring(monkeypatch, plant=emulator.api_key, default="wrong")
    assert iottly("inspect", "--profile", "plant").code == 0
    assert iottly("inspect").code == 3
    use_command(profile, *python("print('wrong')"))
    assert iottly("inspect", "--profile", "plant").code == 3
    monkeypatch.setenv("IOTTLY_API_KEY", emulator.api_key)
    assert iottly("inspect", "--profile", "plant").code == 0


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('hidden'); raise SystemExit(3)", "failed with exit code 3; run it in a shell"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("pass", "printed nothing"),
        ("print(' ')", "printed nothing"),
        ("print('hidden'); print('url: hidden')", "printed more than a key"),
        ("print('hidden key')", "printed more than a key"),
        ("while True: print('hidden')", "printed more than a key"),
        ("print('hidden' * 1000)", "printed more than a key"),
        ("print('hiddén')", "printed what is no key"),
        ("import sys; sys.stdout.buffer.write(b'hidden\\xff')", "printed what is no key"),
        ("import signal; print('hidden', flush=True); signal.pause()", "did not end within 0.5 s"),
        (
            "import os, signal; print('hidden', flush=True); os.close(1); signal.pause()",
            "did not end within 0.5 s",
        ),
    ],
)
def test_a_command_that_prints_no_key_is_named(
    iottly: Run,
    profile: Path,
    emulator: EmulatorThread,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    words: str,
) -> None:
    """The error has the file, the program and what happened; no output, and nothing is sent."""
    if "did not end" in words:
        monkeypatch.setattr(key, "_TIME_LIMIT", 0.5)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    use_command(profile, *python(program))
    before = len(emulator.requests)
    done = iottly("inspect", "--profile", "plant")
    assert (done.code, len(emulator.requests)) == (2, before)
    assert f"{profile}: key_command: {sys.executable!r} {words}" in done.err
    assert "hidd" not in done.err


def test_a_command_that_is_not_there_is_named(iottly: Run, profile: Path) -> None:
    """The error has the program and the system's reason."""
    use_command(profile, "no-such-program", "hidden")
    done = iottly("inspect", "--profile", "plant")
    assert done.code == 2
    assert "key_command: 'no-such-program' cannot be run: No such file or directory" in done.err
    assert "hidden" not in done.err


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({}, ""),
        ({"default": NoKeyringError("hidden")}, ""),
        ({"default": KeyringError("hidden")}, "the keyring cannot be read (KeyringError)"),
        ({"default": RuntimeError("hidden")}, "the keyring cannot be read (RuntimeError)"),
    ],
)
def test_without_a_key_the_error_lists_where_one_can_be(
    iottly: Run,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: dict[str, str | Exception],
    said: str,
) -> None:
    """A keyring that cannot be read is reported beside the other places."""
    use_keyring(monkeypatch, **kept)
    done = iottly("inspect")
    assert done.code == 2
    for place in ("IOTTLY_API_KEY", "key_command", "keyring set iottly default", "a terminal"):
        assert place in done.err
    assert said in done.err
    assert "hidden" not in done.err
