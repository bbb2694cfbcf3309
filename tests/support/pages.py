"""The pages of the documentation as tests read them: their code, links and headings."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import pkgutil
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from iottly_async import IottlySession
from iottly_async.__main__ import main
from iottly_async.cli.app import make_app

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(
    [ROOT / "README.md", *(page for page in DOCS.rglob("*.md"))], key=lambda page: page.as_posix()
)
EXTRAS: Final = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
)
# They do not end by themselves, or ask: only their arguments are checked.
ENDLESS: Final = ("--follow", "emulator", "tail", "run", "doctor")


class Snippet(NamedTuple):
    """A fenced block of a page.

    Attributes:
        place: the page and the line of its first code line.
        language: the word after the fence.
        code: its text.
    """

    place: str
    language: str
    code: str


def name_of(page: Path) -> str:
    """The path of a page within the repository."""
    return page.relative_to(ROOT).as_posix()


def snippets(page: Path, *languages: str) -> Iterator[Snippet]:
    """The fenced blocks of a page in some languages, in order."""
    text = page.read_text("utf-8")
    for found in re.finditer(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", text, re.M | re.S):
        if found[2] in languages:
            line = text[: found.start(3)].count("\n") + 1
            indent = len(found[1])
            code = "".join(part[indent:] for part in found[3].splitlines(keepends=True))
            yield Snippet(f"{name_of(page)}:{line}", found[2], code)


def links(page: Path) -> list[str]:
    """The targets of a page's relative links and images, without those in code."""
    text = re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if ":" not in target]


def headings(page: Path) -> set[str]:
    """The anchors of a page: its headings as mkdocs and GitHub write them, and its entries."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
    return slugs | set(entries(page))


def entries(page: Path) -> list[str]:
    """The names that a page of the reference describes."""
    return re.findall(r"^::: ([\w.]+)$", page.read_text("utf-8"), re.M)


def resolve(name: str) -> object:
    """The object of a name such as `iottly_async.ingest.Store`."""
    return pkgutil.resolve_name(name)


class Notebook:
    """Runs the Python of one page as a notebook does: in order, in one namespace and event loop.

    A snippet that calls `asyncio.run` is a program: it runs in a namespace of its own.
    """

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._runner = asyncio.Runner()

    def run(self, snippet: Snippet) -> None:
        """Run one snippet; an error names its page and line."""
        above = "\n" * (int(snippet.place.rpartition(":")[2]) - 1)
        code = compile(
            above + snippet.code,
            snippet.place,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        if "asyncio.run(" in snippet.code:
            exec(code, {"__name__": "__main__"})
            return
        function = eval  # a code object whose awaits are at the top is a coroutine's
        if code.co_flags & inspect.CO_COROUTINE:
            self._runner.run(function(code, self._names))
        else:
            exec(code, self._names)

    def tests(self) -> list[Any]:
        """The test functions that the snippets define."""
        return [value for name, value in self._names.items() if name.startswith("test_")]

    def call(self, function: Any, **arguments: Any) -> None:
        """Call a function; a coroutine runs in the notebook's event loop."""
        result = function(**arguments)
        if inspect.iscoroutine(result):
            self._runner.run(result)

    def close(self) -> None:
        """Close the session that the snippets left open, and the loop."""
        session = self._names.get("session")
        if isinstance(session, IottlySession):
            self._runner.run(session.aclose())
        self._names.clear()
        self._runner.close()


def commands(snippet: Snippet) -> Iterator[str]:
    """The commands of a shell block, one by one; a backslash continues a line."""
    for line in snippet.code.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def run_command(line: str) -> None:
    """Run a command: one of `iottly` in this process, any other in bash.

    Of what installs something, the names of extras are checked.
    """
    words = [os.path.expandvars(word) for word in shlex.split(line, comments=True)]
    if words[0] == "export":
        for word in words[1:]:
            name, _, value = word.partition("=")
            os.environ.setdefault(name, value)
    elif line.startswith(("pip install", "python -m venv")):
        for extras in re.findall(r"iottly-async\[([\w,]+)\]", line):
            assert set(extras.split(",")) <= EXTRAS, line
    elif words[0] == "iottly" and set(ENDLESS) & set(words):
        make_app().parse_args(words[1:], print_error=False, exit_on_error=False)
    elif words[0] == "iottly" and not {"|", "&&", ">"} & set(words):
        # The emulator of the test has fewer messages than the one of `--emulator`.
        code = main([word for word in words[1:] if word != "--emulator"])
        assert code == 0, f"{line!r} ended with {code}"
    else:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line!r}: {done.stderr}"
