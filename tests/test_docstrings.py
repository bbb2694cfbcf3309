"""The docstrings: public names have all their sections, and none needs reStructuredText."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import iottly_async

ROOT = Path(__file__).parents[1]
MODULES = [
    import_module(f"iottly_async.{name}")
    for name in (
        *("resources", "emulator", "webhooks.parse", "webhooks.dedupe"),
        *("doctor", "ingest", "ingest.coverage", "ingest.partitions"),
        *("integrations.fastapi", "integrations.dask", "integrations.otel"),
    )
]
STARTING_POINTS = [
    *("IottlySession", "Config", "Project", "Messages.walk", "Messages.batches"),
    *(
        "Messages.arrow",
        "Messages.arrow_many",
        "Messages.to_arrow",
        "Messages.follow",
        "Commands.send",
        "FleetCommands.run",
        "IottlySession.stream",
        "Cursor",
    ),
    *("RateLimiter", "RedisLimiter", "RetryPolicy", "IngestJob", "Store", "survey"),
    *("Emulator", "EmulatorThread", "Emulator.fault", "parse_webhook", "WebhookReceiver"),
    *("lifespan", "webhook_router", "message_events", "instrumented"),
    *("diagnose", "Config.from_file"),
]
NOTHING = {"None", "Never", "NoReturn"}


def names_of(module: ModuleType) -> list[str]:
    """The public classes and functions of a module."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def faces() -> dict[str, Any]:
    """Every class and function that a user gets by name, or from another one."""
    found = {name: getattr(iottly_async, name) for name in iottly_async.__all__}
    for module in MODULES:
        found |= {name: getattr(module, name) for name in names_of(module)}
    found |= {"RedisLimiter": iottly_async.RedisLimiter}
    project = iottly_async.IottlySession("key").project("p")
    parts = (project, project.licenses, project.devices, project.commands)
    return found | {type(part).__name__: type(part) for part in parts}


FACES = faces()
MODELS = {name: face for name, face in FACES.items() if attrs.has(face)}


def is_method(member: object) -> bool:
    """Whether a member of a class is a method or a class method."""
    return inspect.isfunction(member) or inspect.ismethod(member)


def methods() -> Iterator[Any]:
    """Every public method and function, with the docstring of its class."""
    for name, face in FACES.items():
        if inspect.isfunction(face):
            yield pytest.param(face, "", id=name)
        if not inspect.isclass(face):
            continue
        for member, method in inspect.getmembers(face, is_method):
            if not member.startswith("_") and method.__module__.startswith("iottly_async."):
                yield pytest.param(method, inspect.getdoc(face) or "", id=f"{name}.{member}")


def has_entry(text: str, name: str) -> bool:
    """Whether a section of a docstring has an entry for a name."""
    return re.search(rf"^\s+\*{{0,2}}{re.escape(name)}: ", text, re.MULTILINE) is not None


METHODS = [*methods()]


@pytest.mark.parametrize(("method", "of_class"), METHODS)
def test_every_argument_is_documented(method: Any, of_class: str) -> None:
    """The docstring of a method, or of its class, has an entry for every argument."""
    text = f"{inspect.getdoc(method) or ''}\n{of_class}"
    given = [name for name in inspect.signature(method).parameters if name != "self"]
    assert [name for name in given if not has_entry(text, name)] == []


@pytest.mark.parametrize(("method", "of_class"), METHODS)
def test_every_result_is_documented(method: Any, of_class: str) -> None:
    """What returns or yields something has a section `Returns:` or `Yields:`."""
    returned = str(inspect.signature(method).return_annotation)
    if returned not in NOTHING:
        text = inspect.getdoc(method) or ""
        assert re.search(r"^(Returns|Yields):\n\s+\S", text, re.MULTILINE), returned


@pytest.mark.parametrize("name", MODELS)
def test_every_field_is_documented(name: str) -> None:
    """The docstring of a model has an entry for every public field."""
    text = inspect.getdoc(MODELS[name]) or ""
    fields = [field.name for field in attrs.fields(MODELS[name])]
    public = [field for field in fields if not field.startswith("_")]
    assert [field for field in public if not has_entry(text, field)] == []


@pytest.mark.parametrize("name", ["IottlySession", "RateLimiter", "RedisLimiter", "IngestJob"])
def test_every_argument_of_a_class_is_documented(name: str) -> None:
    """The docstring of a class that a user creates has an entry for every argument."""
    text = inspect.getdoc(FACES[name]) or ""
    given = list(inspect.signature(FACES[name]).parameters)
    assert [each for each in given if not has_entry(text, each)] == []


@pytest.mark.parametrize("name", STARTING_POINTS)
def test_a_starting_point_has_an_example(name: str) -> None:
    """What people use first shows how."""
    first, _, member = name.partition(".")
    face = getattr(FACES[first], member) if member else FACES[first]
    assert "Example" in (inspect.getdoc(face) or "")


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring of the package and the benchmarks, with its file and line."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for folder in ("iottly_async", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, documented) and (text := ast.get_docstring(node)):
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_no_docstring_needs_restructuredtext() -> None:
    """There is no `::` block, no table and no underlined heading, which Google style lacks."""
    markup = re.compile(r"::\s*$|^\s*(={3,}|-{3,})(\s|$)", re.MULTILINE)
    assert [place for place, text in docstrings() if markup.search(text)] == []
