"""``python -m iottly_async.emulator``: the emulator as a process, without the CLI's extra."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from .options import PREFIX, add_options, read_number, read_settings
from .server import Emulator, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until SIGINT or SIGTERM.

    Args:
        arguments: The command line's arguments. None takes those of the process.

    Returns:
        The exit code: 0 after a signal, 2 if a setting is not allowed or the address is in use.
    """
    parser = argparse.ArgumentParser(
        prog="python -m iottly_async.emulator",
        description="An Iottly cloud on a loopback port, with a made-up fleet.",
        epilog=f"Each option can also be given in the environment, as {PREFIX}ITS_NAME.",
        allow_abbrev=False,
    )
    add_options(parser)
    parser.add_argument("--append-rate", type=float, metavar="VALUE", help="new messages a second")
    given = vars(parser.parse_args(arguments))
    append_rate = given.pop("append_rate")

    def ready(emulator: Emulator) -> None:
        if append_rate is not None:
            emulator.start_appending(append_rate)
        sys.stdout.write(
            f"IOTTLY_BASE_URL={emulator.base_url}\n"
            f"IOTTLY_API_KEY={emulator.api_key}\n"
            f"IOTTLY_PROJECT={emulator.project_id}\n"
        )
        sys.stdout.flush()

    logging.basicConfig(handlers=[_log_handler()])
    try:
        if append_rate is None:
            append_rate = read_number(os.environ, "APPEND_RATE")
        run(read_settings(given, os.environ), ready=ready)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{parser.prog}: {_escaped(str(error))}\n")
        return 2
    return 0


class _EscapingFormatter(logging.Formatter):
    """Formats log records whose texts, which clients and files choose, cannot steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(_escaped, super().format(record).split("\n")))


def _log_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(_EscapingFormatter("%(levelname)s: %(message)s"))
    return handler


def _escaped(text: str) -> str:
    """Write what cannot be printed as Python writes it in a string."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


if __name__ == "__main__":
    sys.exit(main())
