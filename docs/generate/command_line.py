"""The page of the command line, made from the application itself."""

from __future__ import annotations

import re

from iottly_async.cli.app import make_app
from iottly_async.cli.exit_codes import MEANINGS
from iottly_async.cli.settings import ORDER, setting_rows

_INTRODUCTION = """# Command line

`pip install 'iottly-async[cli]'` installs the command `iottly`.

| to | use |
| --- | --- |
| list the devices: a table, or JSON lines in a pipe | `iottly devices` |
| print a week of messages | `iottly messages DEVICE --since 7d` |
| print them from a local time on | `iottly messages DEVICE --start yesterday --tz Europe/Rome` |
| print live messages | `iottly tail` |
| send a command | `iottly send DEVICE echo content=hi` |
| run a command and print its result | `iottly run DEVICE uptime` |
| store all devices; again, to continue | `iottly ingest --to telemetry.duckdb` |
| store them, then new messages until Ctrl-C | `iottly ingest --to telemetry.duckdb --follow` |
| see which devices and times are stored | `iottly coverage telemetry.duckdb` |
| find out what the service does | `iottly doctor` |
| list every setting | `iottly help settings` |

`DEVICE` is a device's id or its unique name. The API key is never an argument:
[Settings](operating.md#settings-and-keys) lists where it comes from. Data goes to stdout, and
everything else to stderr.

`iottly help COMMAND` explains a command, and `iottly help --man` prints a man page:
`iottly help --man > ~/.local/share/man/man1/iottly.1`. `iottly --completion install` completes
commands and options in bash, zsh and fish.
"""


def command_line_page() -> str:
    """Write the page: the exit codes, then each command with its arguments.

    Returns:
        Markdown.
    """
    text = make_app().generate_docs(output_format="markdown", heading_level=1)
    _, _, commands = text.partition("\n## iottly ")
    commands = "## iottly " + commands.replace(" *[default: False]*", "")
    commands = re.sub(r"^```console$", "```text", commands, flags=re.MULTILINE)
    codes = [f"| {code:d} | {meaning} |" for code, meaning in MEANINGS.items()]
    table = "\n".join(["| exit code | meaning |", "| --- | --- |", *codes])
    return (
        f"{_INTRODUCTION}\n## Exit codes\n\n{table}\n\n"
        f"## Settings\n\n{ORDER}\n\n{_settings()}\n\n{commands}\n"
    )


def _settings() -> str:
    """The settings as a table."""
    rows = [
        f"| `{row.variable}` | `{row.name}` | {row.accepted} | {row.default} | {row.meaning} |"
        for row in setting_rows()
    ]
    head = "| variable | in a profile | takes | default | meaning |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows])
