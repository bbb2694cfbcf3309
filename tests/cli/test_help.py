"""`iottly help`, the man page and the completion: what the command line says about itself."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from iottly_async.cli.app import make_app
from iottly_async.cli.manual import manual
from iottly_async.config import FORMS
from iottly_async.variables import variable_of

from .conftest import Run

COMMANDS = sorted(name for name in make_app() if not name.startswith("-"))


def tool(name: str) -> str:
    """The path of a program; the test is skipped where it is not there."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The man page in a file."""
    path = tmp_path_factory.mktemp("man") / "iottly.1"
    path.write_text(manual(make_app()), "ascii")
    return path


def test_help_shows_what_the_option_shows(iottly: Run) -> None:
    """`iottly help CMD` and `iottly CMD --help` are one page."""
    assert iottly("help").out == iottly("--help").out
    for command in COMMANDS:
        shown = iottly("help", command)
        assert shown.code == 0
        assert shown.out == iottly(command, "--help").out, command


def test_lines_are_as_long_as_the_terminal_is_wide(
    iottly: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command does, and each option, is one line on a terminal that is wide enough."""
    monkeypatch.setenv("COLUMNS", "1000")
    app = make_app()
    for command in COMMANDS:
        shown = iottly(command, "--help").out
        text, _, arguments = inspect.cleandoc(str(app[command].default_command.__doc__)).partition(
            "\n\nArgs:\n"
        )
        options = re.split(r"\n    (?=\S+: )", arguments.partition("\n\n")[0])
        for part in (*text.split("\n\n"), *(each.partition(": ")[2] for each in options)):
            assert " ".join(part.split()) in shown, command
        assert "--empty" not in shown


def test_a_mistyped_command_is_answered_with_the_nearest(iottly: Run) -> None:
    """The exit code is that of a wrong argument."""
    done = iottly("help", "mesages")
    assert (done.code, done.out) == (2, "")
    assert "there is no command 'mesages'; did you mean messages?" in done.err


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_settings_are_listed(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Each has its variable, its name, what it takes and its default, on any terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    text = iottly("help", "settings").out
    assert max(map(len, text.splitlines())) <= columns
    words = " ".join(text.split())
    for setting, form in FORMS.items():
        assert f"\n{variable_of(setting)}\n" in text
        assert f"In a profile: {setting}." in words
        assert f"Takes {form.accepted}; default " in words
    assert "Takes a number of seconds, more than 0; default 60. In a profile: timeout." in words
    assert "Takes env or none; default none. In a profile: proxy." in words


def test_the_man_page_has_what_the_help_has(iottly: Run, page: Path) -> None:
    """Every command, option, choice, variable and exit code."""
    text = page.read_text().replace("\\-", "-")
    text = re.sub(r"\\f.", "", text)
    for command in COMMANDS:
        section = text.partition(f"\n.SS iottly {command}\n")[2].partition("\n.SS")[0]
        assert section, command
        shown = iottly("help", command).out
        for option in re.findall(r"(?<=[ (])--?[a-z][a-z-]*(?=[ )]|$)", shown.split("╭")[-1]):
            assert option in section, (command, option)
    assert "One of table, jsonl, json, csv." in " ".join(text.split())
    for variable in map(variable_of, FORMS):
        assert f"\n{variable}\n" in text
    assert "\n143\nended by SIGTERM\n" in text


@pytest.mark.parametrize(
    "words", [["groff", "-man", "-ww", "-Tutf8"], ["mandoc", "-T", "lint"], ["man", "-l"]]
)
def test_the_man_page_is_read_without_a_warning(page: Path, words: list[str]) -> None:
    """groff, mandoc and man have nothing to say about it."""
    done = subprocess.run(
        [tool(words[0]), *words[1:], page], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert words[0] == "mandoc" or "--completion" in re.sub(".\b|\x1b\\[[0-9]*m", "", done.stdout)


def complete(home: Path, line: str) -> list[str]:
    """What an interactive bash offers at the end of a line, with the user's own ~/.bashrc."""
    program = (
        '. "$HOME/.bashrc"; read -ra COMP_WORDS <<< "$1"; [[ $1 == *" " ]] && COMP_WORDS+=("")\n'
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); $(complete -p iottly | sed 's/.*-F //; s/ .*//')\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [tool("bash"), "--norc", "-c", program, "bash", line],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_completion_is_installed_for_bash(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A new shell completes commands, options and choices. Twice installed is once installed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    (tmp_path / ".bashrc").write_text("set -o pipefail")
    for _ in range(2):
        done = iottly("--completion", "install")
        assert (done.code, done.out) == (0, "")
        assert "it works in a new bash" in done.err
    assert (tmp_path / ".bashrc").read_text().count("iottly") <= 3
    assert complete(tmp_path, "iottly mess") == ["messages"]
    assert complete(tmp_path, "iottly messages --fol") == ["--follow"]
    assert complete(tmp_path, "iottly devices --format ") == ["table", "jsonl", "json", "csv"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_is_a_script_of_it(
    iottly: Run, tmp_path: Path, shell: str
) -> None:
    """It has the commands, and the shell can read it."""
    program = tool(shell)
    path = tmp_path / "script"
    path.write_text(iottly(f"--completion={shell}").out)
    assert all(command in path.read_text() for command in COMMANDS)
    subprocess.run([program, "-n", path], check=True)


def test_what_keeps_the_completion_from_being_installed_is_told(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unknown shell, and a home that cannot be written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/dash")
    done = iottly("--completion", "install")
    assert done.code == 2
    assert "SHELL is dash; the completion is for bash, zsh and fish" in done.err
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    (tmp_path / ".config").write_text("")
    done = iottly("--completion", "install")
    assert done.code == 2
    assert "the completion cannot be installed: " in done.err
    assert str(tmp_path / ".config") in done.err
