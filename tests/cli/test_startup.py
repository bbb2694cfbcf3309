"""`iottly --help` and `--version` start quickly: they load no client and no store."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from iottly_async._version import __version__
from iottly_async.cli.app import make_app
from iottly_async.cli.arguments import TypeOption
from iottly_async.resources.messages import TypeFilter

from .conftest import ROOT

PROGRAM = """
import json, sys
from iottly_async.__main__ import main
code = main(sys.argv[1:])
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""
HEAVY = {
    *(
        "asyncio",
        "aiohttp",
        "cattrs",
        "msgspec",
        "duckdb",
        "pyarrow",
        "asyncpg",
        "redis",
        "backoff",
    ),
    *("iottly_async.session", "iottly_async.models", "iottly_async.ingest"),
    *("iottly_async.emulator", "iottly_async.resources"),
}
COMMANDS = sorted(name for name in make_app() if not name.startswith("-"))


def loaded_by(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that it loads."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    return done.stdout, set(modules)


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_version_and_the_help_load_no_client(argument: str) -> None:
    """Most of the start of a command is the client's imports."""
    shown, modules = loaded_by(argument)
    assert not HEAVY & modules
    assert shown == f"{__version__}\n" or all(f" {name} " in shown for name in COMMANDS)


def test_the_help_of_a_command_loads_no_client() -> None:
    """Each command's options are known without what it does."""
    for name in COMMANDS:
        shown, modules = loaded_by(name, "--help")
        assert not HEAVY & modules, name
        assert f"Usage: iottly {name}" in shown


def test_the_types_of_messages_are_those_of_the_api() -> None:
    """The command line names them again, so as not to load the API."""
    assert TypeOption == TypeFilter
