"""`iottly emulator`: runs the emulator as a process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    append_rate: float = 0.0,
    format: FormatOption = None,
) -> None:
    """Run an emulated Iottly cloud with generated devices, until Ctrl-C.

    Args:
        port: The port on 127.0.0.1; 0 picks a free one.
        seed: The seed of the generated data. The same seed gives the same data.
        devices: The number of devices.
        messages: The number of stored messages of all devices together.
        days: The number of days that the stored messages cover.
        jsonl: Serve the messages of this file instead of generated ones.
        database: Keep the messages in this file; by default they are in memory.
        rate_limit: Requests a window, or starter, pro or enterprise;
            unlimited by default.
        rate_window: The length of that window, in seconds.
        latency: The time that each request takes, in seconds.
        append_rate: New messages a second; 0 adds none.
        format: How data is printed: a table on a terminal, JSON lines in a pipe.
    """
    # Imported here, as the other commands must not pay for loading a server.
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
        _print_address(running, output)

    try:
        await serve(settings, ready=ready)
    except (OSError, ValueError) as error:
        reason = str(error)
    else:
        return
    raise ConfigurationError(f"the emulator cannot start: {reason}")


def _print_address(running: Emulator, output: Output) -> None:
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
        say("to use it in a program, set:")
        stdout().print(
            f"export IOTTLY_BASE_URL={running.base_url}\n"
            f"export IOTTLY_API_KEY={running.api_key}\n"
            f"export IOTTLY_PROJECT={running.project_id}",
            soft_wrap=True,
        )
        say("Ctrl-C stops it")
    stdout().file.flush()


def _rate_limit(text: str | None) -> Any:
    """Digits as a number; the emulator's settings check any other text."""
    return int(text) if text is not None and text.isdecimal() else text
