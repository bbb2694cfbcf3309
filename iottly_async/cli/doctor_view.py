"""Shows the plan, the findings and the summary of the doctor."""

from __future__ import annotations

from typing import Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..doctor import Diagnosis, Finding, PlannedRequest, Verdict, plan
from ..doctor.plan import MOST_REQUESTS
from .console import FAINT, GOOD, WARNING, plain, say, stderr, stdout
from .exit_codes import ExitCode

_STYLES: Final = {Verdict.OK: GOOD, Verdict.DIFFERS: WARNING, Verdict.UNKNOWN: FAINT}
_NARROW: Final = 60  # columns below which each finding has lines of its own


def show_plan(base_url: str) -> None:
    """Print which requests the doctor will make.

    Args:
        base_url: Of the service.
    """
    say(
        f"the doctor sends at most {MOST_REQUESTS} requests to {base_url}, one at a time and "
        "within the quota. None of them changes anything:"
    )
    planned: dict[str, list[PlannedRequest]] = {}
    for each in plan():
        planned.setdefault(each.request, []).append(each)
    table = Table.grid(padding=(0, 1))
    for request, steps in planned.items():
        table.add_row(str(sum(step.most for step in steps)), Text(request, overflow="fold"))
        for step in steps:
            table.add_row("", Text(f"- {step.purpose}", style=FAINT))
    stderr().print(table)


def show_findings(diagnosis: Diagnosis) -> None:
    """Print the findings as a table, or line by line where it is narrow."""
    console = stdout()
    if console.width < _NARROW:
        for found in diagnosis.findings:
            console.print(_verdict(found), Text(found.check, style="bold"))
            console.print(Padding(plain(_text(found)), (0, 0, 0, 2)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "verdict", "what was found"):
        table.add_column(column, no_wrap=column != "what was found")
    for found in diagnosis.findings:
        table.add_row(plain(found.check), _verdict(found), plain(_text(found)))
    console.print(table)


def _verdict(found: Finding) -> Text:
    return Text(found.verdict, style=_STYLES[found.verdict])


def _text(found: Finding) -> str:
    setting = found.setting
    follows = "" if setting is None else f" → {setting.name} = {setting.value}"
    decision = "" if found.decision is None else f" ({found.decision})"
    return f"{found.evidence}{follows}{decision}"


def show_summary(diagnosis: Diagnosis) -> ExitCode:
    """Print the settings that follow, and why the doctor ended early if it did.

    Returns:
        The exit code.
    """
    differences = len(diagnosis.differences)
    said = f"{len(diagnosis.requests)} requests, {differences or 'no'} difference"
    say(said + ("s" if differences != 1 else ""))
    for name, value in diagnosis.settings.items():
        say(f"set {name} = {value}")
    if diagnosis.stopped is not None:
        say(f"ended early: {diagnosis.stopped}")
    keys = [found for found in diagnosis.findings if found.check.startswith("key on ")]
    if all(found.verdict is Verdict.DIFFERS for found in keys):
        return ExitCode.REFUSED
    if all(found.verdict is Verdict.UNKNOWN for found in keys):
        if any(request.status is not None for request in diagnosis.requests):
            say("no answer is the API's own; is this its address, and is a proxy in between?")
        return ExitCode.ERROR
    return ExitCode.DONE if diagnosis.stopped is None else ExitCode.PARTLY
