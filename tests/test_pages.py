"""The pages of the documentation: their code runs, and their links lead somewhere."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from iottly_async.emulator import EmulatorThread

from .support.pages import (
    DOCS,
    PAGES,
    ROOT,
    Notebook,
    commands,
    entries,
    headings,
    links,
    name_of,
    resolve,
    run_command,
    snippets,
)

LINKED = sorted([*map(name_of, PAGES), "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
GENERATED = {"changelog.md", "command-line.md", "contributing.md", "http-api.md", "security.md"}
PACKAGES = [
    "iottly_async",
    *("iottly_async.resources", "iottly_async.stream.protocol", "iottly_async.webhooks"),
    *("iottly_async.ingest", "iottly_async.ingest.coverage", "iottly_async.ingest.partitions"),
    *("iottly_async.emulator", "iottly_async.doctor", "iottly_async.integrations.fastapi"),
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """An emulator whose devices go on sending."""
    with EmulatorThread(devices=3, messages=600, stamp_offset=-1.0) as emulator:
        yield emulator


@pytest.fixture
def _reader(emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a reader who has set the variables, in an empty folder."""
    emulator.reset()
    emulator.start_appending(20)
    variables = {
        "IOTTLY_API_KEY": emulator.api_key,
        "IOTTLY_BASE_URL": emulator.base_url,
        "IOTTLY_PROJECT": emulator.project_id,
        "DEVICE": emulator.device_ids[0],
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")


def with_code(*languages: str) -> list[str]:
    """The pages that have code in one of some languages."""
    return [name_of(page) for page in PAGES if any(snippets(page, *languages))]


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("page", with_code("python"))
def test_the_python_of_a_page_runs(page: str, request: pytest.FixtureRequest) -> None:
    """A reader can run the snippets of a page in a notebook, one after another.

    The tests among them pass, with the fixtures that they name.
    """
    notebook = Notebook()
    try:
        for snippet in snippets(ROOT / page, "python"):
            notebook.run(snippet)
        for test in notebook.tests():
            names = inspect.signature(test).parameters
            notebook.call(test, **{name: request.getfixturevalue(name) for name in names})
    finally:
        notebook.close()


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("page", [page for page in with_code("sh") if page != "README.md"])
def test_the_commands_of_a_page_run(page: str) -> None:
    """A reader can copy the commands of a page, in order, into a shell."""
    for snippet in snippets(ROOT / page, "sh"):
        for line in commands(snippet):
            run_command(line)


@pytest.mark.parametrize("page", with_code("yaml", "toml", "json"))
def test_the_files_of_a_page_parse(page: str) -> None:
    """A settings file that a page shows has the form of its kind."""
    parsers: dict[str, Callable[[str], object]] = {
        "json": json.loads,
        "toml": tomllib.loads,
        "yaml": lambda text: [*yaml.safe_load_all(text)],
    }
    for snippet in snippets(ROOT / page, "yaml", "toml", "json"):
        parsers[snippet.language](snippet.code)


@pytest.mark.parametrize("document", LINKED)
def test_every_link_leads_somewhere(document: str) -> None:
    """A relative link names a file of the repository or a generated page, and a heading of it."""
    broken = []
    for target in links(ROOT / document):
        path, _, heading = target.partition("#")
        page = (ROOT / document).parent / path if path else ROOT / document
        if page.resolve().parent == DOCS and page.name in GENERATED:
            continue
        if not page.exists() or (heading and heading not in headings(page)):
            broken.append(target)
    assert broken == []


def test_every_public_name_is_in_the_reference_once() -> None:
    """A name of an `__all__` that users import has one entry, and no entry lacks a name."""
    listed = [name for page in sorted((DOCS / "api").glob("*.md")) for name in entries(page)]
    assert sorted(listed) == sorted(set(listed))
    shown = [resolve(name) for name in listed]
    modules = [each for each in shown if isinstance(each, ModuleType)]
    # Such as the module `plan` in the place of its function.
    assert [each for each in modules if hasattr(each, each.__name__.rpartition(".")[2])] == []
    missing = [
        f"{package}.{name}"
        for package in PACKAGES
        for name in import_module(package).__all__
        if not name.startswith("__")
        and f"{package}.{name}" not in listed
        and not any(getattr(import_module(package), name) is value for value in shown)
    ]
    assert missing == []
