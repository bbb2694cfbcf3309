"""`iottly send` and `iottly run`: a command to a device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import NotFoundError
from .arguments import named_values
from .connection import ProjectOption, connected, in_project, project_id
from .console import say, write_text
from .device_names import fleet_id, is_fleet_id, is_id, one_device, refuse_empty, unknown_in_fleet
from .exit_codes import ExitCode
from .output import FormatOption, Output, record_of
from .profile import ProfileOption, load_profile

if TYPE_CHECKING:
    from ..models import CommandResult
    from ..session import IottlySession

DryRunOption = Annotated[
    bool, Parameter(negative="", help="Show the request, without the key, and send nothing.")
]


async def send(
    device: str,
    cmd_type: str,
    /,
    *values: str,
    dry_run: DryRunOption = False,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> None:
    """Send a command of the project to a device. It is never sent twice.

    The service says that it has accepted the command, and no more: what the
    device does shows in its messages. `iottly run` has results.

    Args:
        device: The device's id or unique name.
        cmd_type: A message type that the project declares, such as echo.
        values: The command's parameters as name=value, such as content=hi.
            A value that is JSON is sent as JSON: level=3 sends a number,
            level='"3"' a text.
    """
    # Imported here, so that `iottly --help` loads no msgspec.
    from ..codec import encode_command

    parameters = named_values(values)
    encode_command(cmd_type, parameters)  # refused before the device's name is looked up
    refuse_empty([device])
    if dry_run:
        from .dry_run import DEVICE_ID, dry_session, say_looked_up

        user = load_profile(profile, project)
        named = project_id(user.project)
        async with dry_session(user.config, Output(format)) as dry:
            if not is_id(device):
                say_looked_up(device)
            given = device if is_id(device) else DEVICE_ID
            await dry.project(named).commands.send(given, cmd_type, parameters)
        return
    async with (
        in_project(project, profile) as (session, found),
        one_device(found, device, fleet=session.devices) as device_id,
    ):
        await found.commands.send(device_id, cmd_type, parameters)
    shown = device_id if device == device_id else f"{device} ({device_id})"
    say(f"the service accepted {cmd_type} for device {shown}")


async def run(
    device: str,
    command: str,
    /,
    *,
    timeout: float = 10.0,
    dry_run: DryRunOption = False,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> ExitCode:
    """Run a command on a device, and print its result. It is never sent twice.

    This uses the fleet API (v1). On a terminal, and with --format table, what the
    device wrote to stdout and stderr goes to stdout and stderr. A pipe gets
    a record with both and the device's exit code. The exit code of `iottly run`
    is 0 if the device's is 0, else 1.

    Args:
        device: The device's id or unique name. The id that `iottly devices --fleet`
            lists needs no look-up.
        command: What the device runs, such as 'uptime -p', as one argument.
        timeout: Seconds that the command may take.
    """
    # Imported here, so that `iottly --help` loads no msgspec.
    from ..codec import encode_fleet_command
    from ..config import seconds

    encode_fleet_command(command, seconds(timeout, name="--timeout"))
    refuse_empty([device])
    output = Output(format)
    user = load_profile(profile, project)
    if dry_run:
        from .dry_run import DEVICE_ID, dry_session, say_looked_up

        async with dry_session(user.config, output) as dry:
            if not is_fleet_id(device):
                say_looked_up(device)
            given = device if is_fleet_id(device) else DEVICE_ID
            await dry.commands.send(given, command, timeout=timeout)
        return ExitCode.DONE
    async with connected(user) as session:
        owner = None if user.project is None else session.project(user.project)
        found = await fleet_id(device, fleet=session.devices, project=owner)
        result = await _result(session, await _accepted(session, found, command, timeout), timeout)
    _print(result, output)
    return ExitCode.DONE if _succeeded(result) else ExitCode.ERROR


async def _accepted(session: IottlySession, device_id: str, command: str, timeout: float) -> str:
    """Send a command, and return its id."""
    try:
        return (await session.commands.send(device_id, command, timeout=timeout)).id
    except NotFoundError as error:
        raise await unknown_in_fleet(device_id, session.devices) from error


async def _result(session: IottlySession, command_id: str, timeout: float) -> CommandResult:
    from asyncio import CancelledError  # here, so that `iottly --help` loads no asyncio

    try:
        # A little longer, so that the device can say that the command took too long.
        within = timeout + session.config.timeout
        return await session.commands.wait(command_id, timeout=within)
    except CancelledError as error:
        error.add_note(f"the command was sent before this, as {command_id}, and may still run")
        raise


def _succeeded(result: CommandResult) -> bool:
    """Whether the device says that the command succeeded."""
    from ..models import CommandStatus

    return result.status is CommandStatus.COMPLETED and result.exit_code in (0, None)


def _print(result: CommandResult, output: Output) -> None:
    if output.form != "table":
        output.one(record_of(result))
        return
    write_text(result.stdout or "", sys.stdout)
    write_text(result.stderr or "", sys.stderr)
    if not _succeeded(result) or result.exit_code is None:
        code = "no exit code" if result.exit_code is None else f"exit code {result.exit_code}"
        say(f"command {result.id}: {result.status.value}, {code}")
