"""The command line: what the SDK does, from a shell.

Data goes to stdout and everything else to stderr. On a terminal data is a table, in a pipe
JSON lines; ``--format`` wins. The key comes from ``IOTTLY_API_KEY``, or from a prompt
without echo where there is a terminal, never from an argument; ``IOTTLY_BASE_URL`` names
another host, ``IOTTLY_PROJECT`` the project; ``NO_COLOR`` is honoured.

===== ===================================================================
code  meaning
===== ===================================================================
0     done (also where the reader of a pipe had enough)
1     the service answered with an error, or none came; a store failed
2     usage: an argument or a setting was refused, nothing was sent
3     the key was refused: unknown, or without access (401, 403)
4     partly done: some devices failed
130   interrupted
===== ===================================================================
"""

from .app import run

__all__ = ["run"]
