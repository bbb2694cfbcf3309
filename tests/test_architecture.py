"""The house: which room may import which, read from the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "iottly_async"

# Floors from the ground up; a room imports rooms of lower floors, and of its own room only.
FLOORS: list[set[str]] = [
    {"_version", "errors", "clock", "texts", "urls"},
    {"checks"},
    {"models", "aio", "profiles", "variables"},
    {"config", "auth"},
    {"times"},
    {"codec", "server_clock", "arrow"},
    {"wire"},
    {"retry"},
    {"ratelimit"},
    {"transport"},
    {"pipeline"},
    {"walk"},
    {"follow"},
    {"resources"},
    {"stream", "webhooks"},
    {"session"},
    {"doctor"},
    {"ingest"},
    {"integrations"},
    {"cli"},
    {"__main__"},
    {"_public"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
ALONE = {"emulator"}

# What only one room may know.
OWNERS = {
    "aiohttp": {"transport", "emulator", "integrations"},
    "yarl": {"transport", "emulator"},
    "backoff": {"retry"},
    "cattrs": {"codec"},
    "redis": {"ratelimit", "webhooks"},
    "duckdb": {"ingest"},
    "pyarrow": {"arrow", "ingest"},
    "asyncpg": {"ingest"},
    "zstandard": {"ingest"},
    "cyclopts": {"cli"},
    "rich": {"cli"},
    "keyring": {"cli"},
    "fastapi": {"integrations"},
    "starlette": {"integrations"},
    "pydantic": {"integrations", "models"},
    "pydantic_core": {"models"},
    "pytest": {"integrations"},
    "distributed": {"integrations"},
    "opentelemetry": {"integrations"},
}

OPTIONAL = {
    *("redis", "fastapi", "dask", "distributed", "pyarrow", "duckdb", "asyncpg"),
    *(
        "cyclopts",
        "rich",
        "keyring",
        "pytest",
        "opentelemetry",
        "starlette",
        "pydantic",
        "pydantic_core",
    ),
}


def sources() -> list[Path]:
    """Every module of the package but its face."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room_of(path: Path) -> str:
    """The room that a file is in: its folder in the package, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def nodes(path: Path) -> list[tuple[ast.Import | ast.ImportFrom | ast.ClassDef, bool]]:
    """The imports and classes of a module, and whether each is inside a function."""
    found = []
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text("utf-8")), False)]
    while waiting:
        node, inside = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef):
            found.append((node, inside))
        if not isinstance(node, ast.expr):  # which holds none of them
            inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            waiting += [(child, inside) for child in ast.iter_child_nodes(node)]
    return found


def imports(path: Path) -> list[tuple[str, bool]]:
    """Absolute names that a module imports, and whether the import is inside a function."""
    package = [*path.relative_to(PACKAGE.parent).parts[:-1]]
    found: list[tuple[str, bool]] = []
    for node, inside in nodes(path):
        if isinstance(node, ast.Import):
            found += [(alias.name, inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(f"{module}.{alias.name}", inside) for alias in node.names]
    return found


def foreign(name: str) -> str:
    """The room of ours that an imported name lies in, or "" for another package's."""
    parts = name.split(".")
    return parts[1] if parts[0] == "iottly_async" and len(parts) > 1 else ""


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_lower_floors(path: Path) -> None:
    """A file imports its own room and lower floors; the emulator nothing, nobody its face."""
    room = room_of(path)
    assert room in LEVEL or room in ALONE, f"{room} has no floor: give it one"
    for name, _ in imports(path):
        assert name != "iottly_async", f"{path.name} imports the package's own face"
        other = foreign(name)
        if not other or other == room:
            continue
        assert room not in ALONE, f"{path.name} of the emulator imports {name}"
        if other in ALONE:
            assert room in {"cli", "integrations"}, f"{path.name} imports the emulator"
        else:
            assert LEVEL[other] < LEVEL[room], f"{path.name} imports {name}, a higher floor"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_known_to_its_room_alone(path: Path) -> None:
    """aiohttp is known to the transport, backoff to the retry decision, and so on."""
    for name, _ in imports(path):
        top = name.split(".")[0]
        if top in OWNERS:
            assert room_of(path) in OWNERS[top], f"{path.name} imports {top}"


def test_there_is_no_cycle_between_modules() -> None:
    """No module reaches itself by imports at module level."""
    graph: dict[str, set[str]] = {}
    for path in sources():
        module = ".".join(["iottly_async", *path.relative_to(PACKAGE).with_suffix("").parts])
        graph[module.removesuffix(".__init__")] = {n for n, inside in imports(path) if not inside}
    edges = {
        module: {
            other
            for other in graph
            if other != module
            and any(n == other or n.startswith(other + ".") for n in names)
            # A package's own __init__ gathers its modules; they do not import it back by name.
            and not module.startswith(other + ".")
        }
        for module, names in graph.items()
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way, module])
        if module not in done:
            for other in edges[module]:
                visit(other, (*way, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_no_two_files_import_each_other() -> None:
    """Of two files at most one imports the other, be it within a function or for types alone."""
    edges: set[tuple[str, str]] = set()
    for folder in (PACKAGE, *(PACKAGE.parent / name for name in ("tests", "benchmarks"))):
        modules = {dotted(path): path for path in folder.rglob("*.py")}
        for module, path in modules.items():
            for name, _ in imports(path):
                for target in (name, name.rpartition(".")[0]):
                    if target in modules and modules[target].name != "__init__.py":
                        edges.add((module, target))
    assert [edge for edge in sorted(edges) if edge[::-1] in edges and edge[0] < edge[1]] == []


def dotted(path: Path) -> str:
    """The dotted name of a module by its path."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


@pytest.mark.parametrize("emulator", [False, True], ids=["client", "emulator"])
def test_a_class_name_means_one_thing(emulator: bool) -> None:
    """No two classes of the client share a name, private ones included; nor of the emulator."""
    places: dict[str, list[str]] = {}
    for path in sources():
        if (room_of(path) == "emulator") is emulator:
            for node, _ in nodes(path):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def loaded_by(statement: str) -> set[str]:
    """The packages that are loaded after a statement in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_no_optional_dependency() -> None:
    """All that the package offers needs the core's dependencies and loads no other."""
    loaded = loaded_by("from iottly_async import *")
    assert "aiohttp" in loaded
    assert not OPTIONAL & loaded


def test_a_name_is_loaded_when_it_is_asked_for() -> None:
    """`import iottly_async` alone costs nothing; a name that there is not is said so."""
    core = {"aiohttp", "attrs", "backoff", "cattrs", "msgspec", "asyncio"}
    assert not core & loaded_by("import iottly_async")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from iottly_async import no_such_name")


def test_every_public_name_exists_and_is_documented() -> None:
    """`__all__` is sorted, complete, and each of its names has a docstring."""
    import iottly_async

    names = iottly_async.__all__
    assert names == sorted(names)
    gathered = import_module("iottly_async._public")
    public = {name for name in vars(gathered) if name[0].isupper()}
    assert public <= set(names)
    for name in names:
        if name != "__version__":
            assert (getattr(iottly_async, name).__doc__ or "").strip(), name


def test_dir_shows_what_people_import() -> None:
    """`dir(iottly_async)` has the public names and the modules of the docstring, and no other.

    Each can be used as it stands there, without an import of its own.
    """
    assert loaded_by("import iottly_async; iottly_async.ingest.IngestJob")
    import iottly_async

    modules = set(re.findall(r"^- `iottly_async\.(\w+)", iottly_async.__doc__ or "", re.MULTILINE))
    assert modules >= {"ingest", "emulator"}
    assert set(dir(iottly_async)) == {*iottly_async.__all__, *modules}
    assert all(getattr(iottly_async, name) for name in dir(iottly_async))
