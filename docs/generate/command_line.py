"""The page of the command line, made from the application itself."""

from __future__ import annotations

import re

from iottly_async.cli.app import make_app
from iottly_async.cli.exit_codes import MEANINGS
from iottly_async.cli.settings import ORDER, setting_rows

_INTRODUCTION = """# Command line

`pip install 'iottly-async[cli]'` installs the command `iottly`.

```text
export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
iottly devices                                   # a table; JSON lines in a pipe
iottly messages DEVICE --since 7d | jq .payload  # or --start yesterday --tz Europe/Rome
iottly messages DEVICE --follow --columns timestamp,payload.temperature
iottly send DEVICE echo content=hi
iottly ingest --to telemetry.duckdb              # all devices; run it again to continue
iottly ingest --to telemetry.duckdb --follow     # then new messages, until Ctrl-C
iottly coverage telemetry.duckdb --html c.html   # which devices and times are stored
iottly doctor --save config.toml                 # what the service does, and settings that follow
```

`DEVICE` is a device's id or its unique name. The API key is never an argument:
[Settings](operating.md#the-doctor) lists where it comes from. Data goes to stdout, and everything
else to stderr.

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
