"""``python -m iottly_async.emulator``: the emulator as a process, without the CLI's extra."""

import argparse
import sys
from collections.abc import Sequence

from .server import Emulator, run
from .settings import TIERS, EmulatorSettings


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
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--jsonl", help="a file of messages that becomes the fleet")
    parser.add_argument("--database", help="keep the messages in this file")
    parser.add_argument("--rate-limit", help=f"requests a window, or {', '.join(TIERS)}")
    parser.add_argument("--rate-window", type=float, default=60.0, help="seconds")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--append-rate", type=float, help="new messages a second")
    given = vars(parser.parse_args(arguments))
    append_rate = given.pop("append_rate")
    for name in ("seed", "rate_limit"):
        if given[name] is not None and given[name].isdecimal():
            given[name] = int(given[name])

    def ready(emulator: Emulator) -> None:
        if append_rate is not None:
            emulator.start_appending(append_rate)
        sys.stdout.write(
            f"IOTTLY_BASE_URL={emulator.base_url}\n"
            f"IOTTLY_API_KEY={emulator.api_key}\n"
            f"IOTTLY_PROJECT={emulator.project_id}\n"
        )
        sys.stdout.flush()

    try:
        run(EmulatorSettings(**given), ready=ready)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
