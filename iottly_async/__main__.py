"""The command line, `iottly` or ``python -m iottly_async``; needs the extra ``cli``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_NEEDED = ("cyclopts", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code (`iottly_async.cli` lists them).

    Args:
        arguments: without the program's name; None takes those of the process.
    """
    try:
        from .cli import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        missing = error.name
    else:
        return run(sys.argv[1:] if arguments is None else arguments)
    sys.stderr.write(
        f"iottly: the command line needs the extra cli, and {missing} is not installed; "
        "install it with: pip install 'iottly-async[cli]'\n"
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
