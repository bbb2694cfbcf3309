"""Lists and runs the benchmarks.

```sh
python -m benchmarks               # lists all and runs the quick ones
python -m benchmarks list          # lists all
python -m benchmarks NAME [args]   # runs one, with its own arguments
```

stdout gets the table, each row as soon as it is measured; stderr gets everything else.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from .table import HEADER, Row, run_parts


class Benchmark(NamedTuple):
    """A benchmark, read from its source and not yet imported.

    Attributes:
        name: The module's name.
        summary: The first line of its docstring.
        quick: The arguments of a quick run; None if it runs only by name.
    """

    name: str
    summary: str
    quick: list[str] | None

    def part(self, argv: list[str]) -> Callable[[], Iterable[Row]]:
        """A function that imports the benchmark, runs it and returns its rows."""

        def run() -> Iterable[Row]:
            module = importlib.import_module(f".{self.name}", __package__)
            return module.main(argv) or ()

        return run


def found() -> list[Benchmark]:
    """Find the benchmarks of this folder without importing them, sorted by name."""
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
    """The value of a module's `QUICK`, or None if it has none."""
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        if isinstance(node.target, ast.Name) and node.target.id == "QUICK":
            return [str(argument) for argument in ast.literal_eval(node.value)]
    return None


def print_list(benchmarks: Sequence[Benchmark]) -> None:
    """Print the names and summaries of the benchmarks."""
    for benchmark in benchmarks:
        mark = " " if benchmark.quick is None else "*"
        print(f"{mark} {benchmark.name:<12} {benchmark.summary}")
    print("* runs when none is named; python -m benchmarks NAME [args] runs one\n", flush=True)


def run(benchmark: Benchmark, argv: list[str]) -> None:
    """Run a benchmark and print its rows as they are measured."""
    print(f"== {benchmark.name}: {benchmark.summary}", file=sys.stderr, flush=True)
    rows = run_parts({benchmark.name: benchmark.part(argv)})
    while True:
        with redirect_stdout(sys.stderr):
            row = next(rows, None)
        if row is None:
            return
        print(row.row(), flush=True)


def main(argv: list[str]) -> int:
    """Run the benchmarks that the arguments name.

    Args:
        argv: The arguments without the program's name.

    Returns:
        The exit code; 2 for an unknown benchmark.
    """
    benchmarks = found()
    by_name = {benchmark.name: benchmark for benchmark in benchmarks}
    if not argv or argv == ["list"]:
        print_list(benchmarks)
    if argv == ["list"]:
        return 0
    if not argv:
        runs = [(one, one.quick) for one in benchmarks if one.quick is not None]
    elif argv[0] in by_name:
        runs = [(by_name[argv[0]], argv[1:])]
    else:
        print(f"no benchmark {argv[0]!r}; there are: {', '.join(by_name)}", file=sys.stderr)
        return 2
    print(HEADER, flush=True)
    for benchmark, arguments in runs:
        run(benchmark, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
