"""Builds the `iottly` application, runs it, and turns errors into exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import App, CycloptsError

from .._version import __version__
from ..errors import IottlyError
from . import commands, compact, coverage, doctor, emulator, ingest, messages, project, quota, tail
from .console import say, stderr
from .exit_codes import MEANINGS, ExitCode, exit_code, explain
from .help import COMPLETION, add_help
from .signals import sigterm_as_ctrl_c


def run(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The exit code.
    """
    _log_to_stderr()
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return ExitCode.DONE
    return code


def make_app() -> App:
    """Build the cyclopts application with all commands."""
    app = App(
        name="iottly",
        help="Use the Iottly IoT cloud from a shell.\n\n"
        "The API key is never an argument. It is read from IOTTLY_API_KEY; or printed by the "
        'profile\'s key_command, such as key_command = "pass show iottly"; or kept in the '
        "system's keyring (pip install keyring; keyring set iottly PROFILE); or asked for on a "
        "terminal.\n\n"
        "IOTTLY_PROJECT names the project, IOTTLY_BASE_URL another host, and other settings have "
        "variables, too, such as IOTTLY_TIMEOUT. An option comes before a variable, that before "
        "the profile, and that before the default.\n\n"
        "Exit codes:\n" + "\n".join(f"{code:3d}  {MEANINGS[code]}" for code in ExitCode),
        version=__version__,
        help_format="plaintext",
        error_console=stderr(),
        suppress_keyboard_interrupt=False,
    )
    for command in (
        project.ping,
        project.inspect,
        project.licenses,
        project.devices,
        project.rename,
        commands.send,
        commands.run,
        messages.messages,
        tail.tail,
        ingest.ingest,
        compact.compact,
        coverage.coverage,
        quota.quota,
        doctor.doctor,
        emulator.emulator,
    ):
        app.command(command)
    add_help(app)
    return app


def _invoke(arguments: Sequence[str]) -> int:
    tokens = list(arguments)
    if tokens and tokens[0].startswith(f"{COMPLETION}="):  # cyclopts takes it for a command
        tokens[:1] = tokens[0].split("=", 1)
    with sigterm_as_ctrl_c() as sigterm_came:
        try:
            code = make_app()(
                tokens, exit_on_error=False, print_error=True, result_action="return_value"
            )
        except CycloptsError:
            return ExitCode.USAGE
        except IottlyError as error:
            say(explain(error))
            return exit_code(error)
        except KeyboardInterrupt as error:
            # What a call adds to its cancellation: whether a command may have been sent.
            for note in getattr(error.__context__, "__notes__", ()):
                say(note.removeprefix("iottly-async: "))
            say("ended by SIGTERM" if sigterm_came() else "interrupted")
            return ExitCode.TERMINATED if sigterm_came() else ExitCode.INTERRUPTED
    return code if isinstance(code, int) else ExitCode.DONE


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")
        if record.exc_info:
            for line in logging.Formatter().formatException(record.exc_info).split("\n"):
                say(line)


def _log_to_stderr() -> None:
    logger = logging.getLogger()  # of asyncio and others too: their texts are escaped as well
    if not any(isinstance(handler, _ToStderr) for handler in logger.handlers):
        logger.addHandler(_ToStderr(logging.WARNING))


def _discard_stdout() -> None:
    # The interpreter flushes stdout when it exits: what is still buffered would fail again.
    with suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
