"""Builds the `iottly` application, runs it, and turns errors into exit codes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib import import_module

from cyclopts import App, CycloptsError, CycloptsPanel

from .._version import __version__
from ..errors import IottlyError
from .closed_pipe import until_pipe_closes
from .console import say, stderr
from .exit_codes import ExitCode, exit_code, explain
from .help import COMPLETION, add_help
from .help_format import HelpFormatter
from .overview import COMMANDS, DESCRIPTION
from .signals import sigterm_as_ctrl_c


def run(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The exit code.
    """
    _log_to_stderr()
    return until_pipe_closes(lambda: _invoke(arguments))


def make_app(names: Iterable[str] = COMMANDS) -> App:
    """Build the cyclopts application.

    Args:
        names: The commands that it has, by default all. Their modules are imported.
    """
    app = App(
        name="iottly",
        help=DESCRIPTION,
        version=__version__,
        help_format="plaintext",
        help_formatter=HelpFormatter(),
        suppress_keyboard_interrupt=False,
    )
    for name in names:
        module = import_module(f".{COMMANDS[name][0]}", __package__)
        app.command(getattr(module, name))
    add_help(app)
    return app


def _named(tokens: Sequence[str]) -> Iterable[str]:
    """The commands that the tokens may need: the one that they begin with, or all."""
    name = tokens[1:2] if tokens[:1] == ["help"] else tokens[:1]
    return name if name and name[0] in COMMANDS else COMMANDS


def _invoke(arguments: Sequence[str]) -> int:
    tokens = list(arguments)
    if tokens and tokens[0].startswith(f"{COMPLETION}="):  # cyclopts takes it for a command
        tokens[:1] = tokens[0].split("=", 1)
    with sigterm_as_ctrl_c() as sigterm_came:
        try:
            code = make_app(_named(tokens))(
                tokens, exit_on_error=False, print_error=False, result_action="return_value"
            )
        except CycloptsError as error:
            stderr().print(CycloptsPanel(error))
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
