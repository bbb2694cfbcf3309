"""The `iottly` command line.

Data goes to stdout, everything else to stderr. Data is a table on a terminal and JSON lines
in a pipe; `--format` overrides this. The API key comes from the environment variable
`IOTTLY_API_KEY` or, on a terminal, from a prompt without echo; it is never an argument.
`IOTTLY_BASE_URL` names another host, `IOTTLY_PROJECT` the project, and `--profile` or
`IOTTLY_PROFILE` a table of `~/.config/iottly/config.toml` with settings. `NO_COLOR` is honoured.

Exit codes:

- 0: done, or the reader of the pipe closed it.
- 1: the service answered with an error or did not answer, or a store failed.
- 2: an argument or a setting is invalid; nothing was sent.
- 3: the key was refused (401) or has no access (403).
- 4: partly done: some devices failed, or a store is incomplete.
- 5: another run writes to the store.
- 130: interrupted by Ctrl-C.
- 143: ended by SIGTERM.
"""

from .app import run

__all__ = ["run"]
