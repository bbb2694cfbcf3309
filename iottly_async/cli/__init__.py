"""The `iottly` command line.

Data goes to stdout, everything else to stderr. Data is a table on a terminal and JSON lines
in a pipe; `--format` overrides this. The API key comes from the environment variable
`IOTTLY_API_KEY` or, on a terminal, from a prompt without echo; it is never an argument.
`IOTTLY_BASE_URL` names another host, `IOTTLY_PROJECT` the project, and `--profile` or
`IOTTLY_PROFILE` a table of `~/.config/iottly/config.toml` with settings. `NO_COLOR` is honoured.

`exit_codes.py` has the exit codes.
"""

from .app import run

__all__ = ["run"]
