"""The emulator as a process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import ConfigurationError
from .output import FormatOption, Output, say, stdout

if TYPE_CHECKING:
    from ..emulator import Emulator


async def emulator(
    *,
    port: int = 0,
    seed: str = "1",
    devices: int = 20,
    messages: int = 100_000,
    days: int = 30,
    jsonl: Path | None = None,
    database: Path | None = None,
    rate_limit: str | None = None,
    rate_window: float = 60.0,
    latency: float = 0.0,
    append_rate: Annotated[float, Parameter(help="New messages a second.")] = 0.0,
    format: FormatOption = None,
) -> None:
    """Run an Iottly cloud with a made-up fleet on this machine, until Ctrl-C.

    Parameters
    ----------
    port
        Of 127.0.0.1; 0 takes a free one.
    seed
        The same seed gives the same fleet.
    devices
        How many devices the fleet has.
    messages
        How many messages they sent in all.
    days
        How many days their history has.
    jsonl
        A file of messages that becomes the fleet instead.
    database
        A file that keeps the messages; without, they are in memory.
    rate_limit
        Requests a window, or starter, pro or enterprise; unlimited by default.
    rate_window
        Seconds of that window.
    latency
        Seconds that a request takes.
    """
    # A server is more than the other commands should have to load.
    from ..emulator import EmulatorSettings, serve

    try:
        settings = EmulatorSettings(
            port=port,
            seed=int(seed) if seed.isdecimal() else seed,
            devices=devices,
            messages=messages,
            days=days,
            jsonl=jsonl,
            database=database,
            rate_limit=_rate_limit(rate_limit),
            rate_window=rate_window,
            latency=latency,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    output = Output(format)

    def ready(running: Emulator) -> None:
        if append_rate > 0:
            running.start_appending(append_rate)
        _introduce(running, output)

    try:
        await serve(settings, ready=ready)
    except (OSError, ValueError) as error:
        reason = str(error)
    else:
        return
    raise ConfigurationError(f"the emulator cannot be started: {reason}")


def _introduce(running: Emulator, output: Output) -> None:
    devices = running.device_ids
    address = {
        "base_url": running.base_url,
        "api_key": running.api_key,
        "project_id": running.project_id,
    }
    if output.form != "table":
        output.one({**address, "device_ids": devices})
    else:
        output.one({**address, "devices": f"{len(devices)}: {', '.join(devices[:3])}, …"})
        say("to point a program at it:")
        stdout().print(
            f"export IOTTLY_BASE_URL={running.base_url}\n"
            f"export IOTTLY_API_KEY={running.api_key}\n"
            f"export IOTTLY_PROJECT={running.project_id}",
            soft_wrap=True,
        )
        say("Ctrl-C ends it")
    stdout().file.flush()


def _rate_limit(text: str | None) -> Any:
    """A number where it is one; what else it may be, the settings know."""
    return int(text) if text is not None and text.isdecimal() else text
