"""The `iottly` command line.

Data goes to stdout, everything else to stderr. Data is a table on a terminal and JSON lines
in a pipe; `--format` overrides this. The API key is never an argument; `key.py` says where it
comes from. Settings are, in this order, options, variables such as `IOTTLY_BASE_URL`, the
profile (a table of `~/.config/iottly/config.toml`, which `--profile` names), and defaults.
`NO_COLOR` is honoured.

`exit_codes.py` has the exit codes.
"""
