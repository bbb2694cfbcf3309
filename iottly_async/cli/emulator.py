"""`iottly emulator`: runs the emulator as a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ConfigurationError
from .console import say, stdout
from .output import FormatOption, Output

if TYPE_CHECKING:
    from ..emulator import Emulator


async def emulator(
    *,
    host: str | None = None,
    allowed_host: Annotated[list[str] | None, Parameter(negative=())] = None,
    port: int | None = None,
    seed: str | None = None,
    devices: int | None = None,
    messages: int | None = None,
    days: int | None = None,
    jsonl: Path | None = None,
    database: Path | None = None,
    rate_limit: str | None = None,
    rate_window: float | None = None,
    latency: float | None = None,
    append_rate: float | None = None,
    format: FormatOption = None,
) -> None:
    """Run an emulated Iottly cloud with generated devices, until Ctrl-C.

    Each of its settings can also be given in the environment, as IOTTLY_EMULATOR_DEVICES or
    IOTTLY_EMULATOR_RATE_HEADERS; `python -m iottly_async.emulator --help` lists them.

    Args:
        host: The address to listen on; 127.0.0.1 by default. Others need
            an allowed host.
        allowed_host: A name by which other machines reach it; can be
            given several times.
        port: The port; 0, the default, picks a free one.
        seed: The seed of the generated data; 1 by default. The same seed
            gives the same data.
        devices: The number of devices; 20 by default.
        messages: The number of stored messages of all devices together;
            100,000 by default.
        days: The number of days that the stored messages cover; 30 by
            default.
        jsonl: Serve the messages of this file instead of generated ones.
        database: Keep the messages in this file; by default they are in memory.
        rate_limit: Requests a window, or starter, pro or enterprise;
            unlimited by default.
        rate_window: The length of that window, in seconds; 60 by default.
        latency: The time that each request takes, in seconds; 0 by default.
        append_rate: New messages a second; 0, the default, adds none.
        format: How data is printed: a table on a terminal, JSON lines in a pipe.
    """
    # Imported here, as the other commands must not pay for loading a server.
    from ..emulator import serve
    from ..emulator.options import read_number, read_settings

    given = {
        "host": host,
        "allowed_hosts": allowed_host,
        "port": port,
        "seed": seed,
        "devices": devices,
        "messages": messages,
        "days": days,
        "jsonl": None if jsonl is None else str(jsonl),
        "database": None if database is None else str(database),
        "rate_limit": rate_limit,
        "rate_window": rate_window,
        "latency": latency,
    }
    try:
        settings = read_settings(given, os.environ)
        if append_rate is None:
            append_rate = read_number(os.environ, "APPEND_RATE") or 0.0
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    rate = append_rate
    output = Output(format)

    def ready(running: Emulator) -> None:
        if rate > 0:
            running.start_appending(rate)
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
