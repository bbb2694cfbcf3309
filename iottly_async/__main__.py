"""Entry point of the command line: `iottly`, or `python -m iottly_async`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ._version import __version__

_REQUIRED = ("cyclopts", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. It needs the extra `cli`.

    Args:
        arguments: The command line without the program's name; None uses `sys.argv`.

    Returns:
        The exit code; `iottly_async.cli` lists them.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    if given == ["--version"]:  # quickly, and also without the extra
        sys.stdout.write(f"{__version__}\n")
        return 0
    missing = next((name for name in _REQUIRED if find_spec(name) is None), None)
    if missing is not None:
        sys.stderr.write(
            f"iottly: the command line needs the package {missing}, which is not installed; "
            "install it with: pip install 'iottly-async[cli]'\n"
        )
        return 2
    from .cli.overview import OVERVIEW, print_overview

    if given in OVERVIEW:  # quickly, too
        from .cli.closed_pipe import until_pipe_closes

        return until_pipe_closes(print_overview)
    from .cli.app import run

    return run(given)


if __name__ == "__main__":
    sys.exit(main())
