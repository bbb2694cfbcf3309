"""``python -m benchmarks``: the list, the quick ones, and one table of their figures.

::

    python -m benchmarks               lists all and runs the quick ones
    python -m benchmarks list          lists all
    python -m benchmarks NAME [args]   runs one, with its own arguments
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .table import Figure, show


class Benchmark(NamedTuple):
    """A benchmark by its source, not yet imported."""

    name: str
    summary: str
    quick: list[str] | None

    def run(self, argv: list[str]) -> Sequence[Figure]:
        """Import it and run it."""
        module = importlib.import_module(f".{self.name}", __package__)
        return module.main(argv) or ()


def found() -> list[Benchmark]:
    """The benchmarks of this folder, by name; none of them is imported."""
    here = Path(__file__).parent
    modules = [(path.stem, ast.parse(path.read_text("utf-8"))) for path in here.glob("[!_]*.py")]
    return sorted(
        Benchmark(name, document.splitlines()[0], _quick(tree))
        for name, tree in modules
        if (document := ast.get_docstring(tree)) and _has_main(tree)
    )


def _has_main(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def _quick(tree: ast.Module) -> list[str] | None:
    """The value of `QUICK`, a list of texts, at the top of a module."""
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        if isinstance(node.target, ast.Name) and node.target.id == "QUICK":
            return [str(argument) for argument in ast.literal_eval(node.value)]
    return None


def listed(benchmarks: Sequence[Benchmark]) -> None:
    """Print what there is."""
    for benchmark in benchmarks:
        mark = " " if benchmark.quick is None else "*"
        print(f"{mark} {benchmark.name:<12} {benchmark.summary}")
    print("* is run when none is named; python -m benchmarks NAME [args] runs one\n")


def main(argv: list[str]) -> int:
    """Run what the arguments name; 2 if there is none of that name."""
    benchmarks = found()
    by_name = {benchmark.name: benchmark for benchmark in benchmarks}
    if not argv or argv == ["list"]:
        listed(benchmarks)
    if argv == ["list"]:
        return 0
    if not argv:
        runs = [(one, one.quick) for one in benchmarks if one.quick is not None]
    elif argv[0] in by_name:
        runs = [(by_name[argv[0]], argv[1:])]
    else:
        print(f"no benchmark {argv[0]!r}; there are: {', '.join(by_name)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for benchmark, arguments in runs:
        print(f"== {benchmark.name}: {benchmark.summary}", flush=True)
        figures += benchmark.run(arguments)
        print(flush=True)
    if figures:
        show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
