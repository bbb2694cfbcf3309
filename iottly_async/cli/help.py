"""`iottly help` and `iottly --completion`: what the command line says about itself."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from ..errors import ConfigurationError
from .console import say

COMPLETION: Final = "--completion"
"""An option for the reader of `--help`, and a command for cyclopts."""

_SETTINGS: Final = "settings"
_WIDEST: Final = 100  # columns, so that lines can be read


def add_help(app: App) -> None:
    """Add the commands `help` and `--completion` to an application.

    Args:
        app: with all other commands.
    """

    def show_help(
        command: str | None = None,
        /,
        *,
        man: Annotated[bool, Parameter(negative="")] = False,
    ) -> None:
        """Show the help of a command, the list of settings, or the man page.

        Args:
            command: A command; or settings, for the variables that there are.
                By default, the commands are listed.
            man: Print the man page, for a file such as
                ~/.local/share/man/man1/iottly.1, where man finds it.
        """
        if man:
            from .manual import manual

            sys.stdout.write(manual(app))
        elif command == _SETTINGS:
            _print_settings()
        elif command is None:
            app.help_print([])
        else:
            _check_command(app, command)
            app.help_print([command])

    def completion(what: Literal["install", "bash", "zsh", "fish"], /) -> None:
        """Complete commands and options in your shell.

        Args:
            what: install writes a script where your shell reads it, and for bash and zsh a line
                into ~/.bashrc or ~/.zshrc. The name of a shell prints the script.
        """
        if what == "install":
            _install_completion(app)
        else:
            sys.stdout.write(app.generate_completion(shell=what))  # nosec B604 - its name

    app.command(show_help, name="help")
    app.command(completion, name=COMPLETION)


def _check_command(app: App, command: str) -> None:
    names = [*app, _SETTINGS]
    if command in names:
        return
    near = get_close_matches(command, names, n=3)
    advice = f"; did you mean {' or '.join(near)}?" if near else ", see iottly help"
    raise ConfigurationError(f"there is no command {command!r}{advice}")


def _print_settings() -> None:
    """List the settings, a few lines each, so that they fit any terminal."""
    # Imported here, so that other commands do not load them.
    from shutil import get_terminal_size
    from textwrap import wrap

    from .settings import ORDER, setting_rows

    width = max(20, min(get_terminal_size().columns, _WIDEST))
    lines = [*wrap(ORDER, width)]
    for row in setting_rows():
        lines += ["", row.variable]
        lines += wrap(row.text, width, initial_indent="    ", subsequent_indent="    ")
    sys.stdout.write("\n".join(lines) + "\n")


def _install_completion(app: App) -> None:
    shell = _shell()
    try:
        path = app.install_completion(shell=shell)  # nosec B604 - its name
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.strerror else str(error)
        raise ConfigurationError(f"the completion cannot be installed: {reason}") from None
    say(f"the completion is in {path}; it works in a new {shell}")


def _shell() -> Literal["bash", "zsh", "fish"]:
    """The user's shell.

    Raises:
        ConfigurationError: There is none that can complete.
    """
    name = Path(os.environ.get("SHELL", "")).name
    if name in ("bash", "zsh", "fish"):
        return name  # type: ignore[return-value]
    raise ConfigurationError(
        f"SHELL is {name or 'not set'}; the completion is for bash, zsh and fish, and "
        "iottly --completion bash prints that of bash"
    )
