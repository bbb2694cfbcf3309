"""Finds the API key: in the environment, by a command, in the system's keyring, by a prompt.

They are tried in this order. If the command fails, that is an error, and neither the keyring nor
the prompt is tried: a broken command must not go unnoticed.
"""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from time import monotonic
from typing import Final

from ..errors import ConfigurationError
from .console import say
from .profile import UserProfile

_TIME_LIMIT: Final = 60.0
"""Seconds for a key command; it may ask for a passphrase meanwhile."""

_LONGEST_KEY: Final = 4096
"""Bytes."""

_KEYRING_SERVICE: Final = "iottly"


def find_key(user: UserProfile) -> str:
    """Find the key of a command.

    Args:
        user: The settings, with the profile's `key_command`.

    Returns:
        The key.

    Raises:
        ConfigurationError: There is no key, or the key command failed.
    """
    key = os.environ.get("IOTTLY_API_KEY", "")
    if key:
        return key
    if user.key_command is not None:
        with _interruptible():
            return _from_command(user.key_command, f"{user.path}: key_command")
    key = _from_keyring(user.name)
    if not key and sys.stdin.isatty():
        with suppress(EOFError), _interruptible():
            key = getpass.getpass("API key: ", stream=sys.stderr).strip()
    if not key:
        raise ConfigurationError(
            "the API key is missing; set the environment variable IOTTLY_API_KEY, or "
            'key_command = "pass show iottly" in the profile, or keep the key in the keyring '
            f"(keyring set {_KEYRING_SERVICE} {user.name}), or run the command on a terminal, "
            "which asks for the key"
        )
    return key


def _from_command(words: Sequence[str], where: str) -> str:
    """Run a command that prints the key. Neither its output nor its arguments are shown.

    Raises:
        ConfigurationError: It did not print a key.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
            words,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        failure = f"cannot be run: {error.strerror or type(error).__name__}"
    else:
        output, ended = _output_of(process)
        key = output.strip().decode("ascii", "replace")
        failure = _failure(key, output, process.returncode, ended=ended)
        if not failure:
            return key
    raise ConfigurationError(f"{where}: {words[0]!r} {failure}")


def _output_of(process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """What a command prints, and whether it ended by itself. If it does not, it is killed."""
    output = bytearray()
    pipe = process.stdout

    def read() -> None:
        if pipe is not None:
            with pipe:
                while len(output) <= _LONGEST_KEY and (chunk := pipe.read(_LONGEST_KEY)):
                    output.extend(chunk)

    # A thread, because a process that the command started may keep the pipe open.
    reading = Thread(target=read, daemon=True)
    until = monotonic() + _TIME_LIMIT
    reading.start()
    try:
        reading.join(_TIME_LIMIT)
        if len(output) <= _LONGEST_KEY:
            process.wait(max(until - monotonic(), 0))
        return bytes(output), not reading.is_alive()
    except subprocess.TimeoutExpired:
        return bytes(output), False
    finally:
        process.kill()
        process.wait()


def _failure(key: str, output: bytes, code: int, *, ended: bool) -> str:
    """Why a command's output is not used; "" if it is."""
    if len(output) > _LONGEST_KEY or len(key.split()) > 1:
        return "printed more than a key; it must print the key alone, in one line"
    if not ended:
        return f"did not end within {_TIME_LIMIT:g} s, and was killed"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    if code:
        return f"failed with exit code {code}; run it in a shell to see why"
    if not key:
        return "printed nothing; it must print the key"
    if not all("!" <= character <= "~" for character in key):
        return "printed what is no key: a key is visible ASCII"
    return ""


def _from_keyring(name: str) -> str:
    """The key of a profile in the system's keyring; "" if there is none."""
    try:
        import keyring  # not among our extras: who uses it has it
        from keyring.errors import KeyringError, NoKeyringError
    except ModuleNotFoundError as error:
        if error.name != "keyring":
            _tell_keyring(error)
        return ""
    except (ImportError, OSError, RuntimeError) as error:  # of the backend that the user chose
        _tell_keyring(error)
        return ""
    try:
        return keyring.get_password(_KEYRING_SERVICE, name) or ""
    except NoKeyringError:
        return ""
    except (KeyringError, OSError, RuntimeError) as error:
        _tell_keyring(error)
        return ""


def _tell_keyring(error: Exception) -> None:
    say(f"the keyring cannot be read ({type(error).__name__})")  # its text is the backend's


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a wait. asyncio would only cancel the task, which cannot run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
