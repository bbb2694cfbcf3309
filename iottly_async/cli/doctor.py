"""`iottly doctor`: asks the service, read-only, what its documents leave open."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import ConfigurationError
from .connection import ProjectOption, connected, project_id
from .console import say, stderr
from .exit_codes import ExitCode
from .output import FormatOption, Output
from .profile import ProfileOption, load_profile


async def doctor(
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    save: Path | None = None,
    report: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    project: ProjectOption = None,
    profile: ProfileOption = None,
    format: FormatOption = None,
) -> int:
    """Find out what the service does where its documents are silent.

    At most 40 requests are sent, within the quota: GET, and the opening of the
    WebSocket. They are listed first. Nothing is changed at the service. It ends
    after five minutes at the latest, with what it knows.

    Args:
        yes: Go on without asking.
        save: Write a profile into this new file: the settings that
            follow, without the key. Config.from_file reads it.
        report: Write a report to attach to a bug into this file. It has
            no key, no ids and no messages.
        json: Print the whole diagnosis as one JSON object.

    Returns:
        The exit code: 4 if the doctor ended early, 3 if the key was refused.
    """
    # Imported here, so that `iottly --help` loads no aiohttp.
    from ..doctor import diagnose, profile_text, report_of
    from .doctor_view import show_findings, show_plan, show_summary
    from .profile_file import ProfileFile
    from .report_file import ReportFile

    output = Output("json" if json else format)
    user = load_profile(profile, project)
    named = project_id(user.project)
    saved = None if save is None else ProfileFile(save)
    report_file = None if report is None else ReportFile(report)
    show_plan(user.config.base_url)
    if not yes and not _confirmed():
        say("nothing was sent")
        return ExitCode.DONE
    async with connected(user) as session:
        with stderr().status("asking…") as status:
            diagnosis = await diagnose(
                session, named, on_request=lambda sent: status.update(f"{sent} requests sent")
            )
    if json:
        output.one(report_of(diagnosis))
    elif output.form == "table":
        show_findings(diagnosis)
    else:
        output.many([found.to_dict() for found in diagnosis.findings], [])
    if report_file is not None:
        report_file.write(report_of(diagnosis))
    if saved is not None:
        saved.write(profile_text(diagnosis, user.config, named))
    return show_summary(diagnosis)


def _confirmed() -> bool:
    """Ask on the terminal whether to go on.

    Raises:
        ConfigurationError: There is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask on; pass --yes to go on")
    answer = ""
    with suppress(EOFError):
        answer = stderr().input("Go on? [y/N] ", markup=False)
    return answer.strip().lower() in ("y", "yes")
