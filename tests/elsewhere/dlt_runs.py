"""Runs of the example for dlt, which can be killed at a step: forks of one process.

Each line of stdin is a number. A run kills itself at that write, rename or removal of a file;
0 kills none. The answer is a line with the exit code of the run and the steps that it made.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}


class Steps:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self, kill_at: int) -> None:
        self.made = 0
        self._kill_at = kill_at
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STEPS or (event == "open" and (arguments[2] or 0) & _WRITES):
            self.made += 1
            if self.made == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def run(example: Any, kill_at: int, file: str, answers: int) -> int:
    """Run the example once; tell how many steps it made."""
    steps = Steps(kill_at)
    code: int = example.main(file)
    os.write(answers, b"%d" % steps.made)
    return code


def main() -> None:
    """Answer each line of stdin; the arguments name the examples' folder and the store."""
    folder, file = sys.argv[1:]
    sys.path.insert(0, folder)
    example = import_module("dlt_pipeline")
    for line in sys.stdin:
        told, tells = os.pipe()
        child = os.fork()
        if not child:
            os.close(told)
            os.dup2(2, 1)
            os._exit(run(example, int(line), file, tells))
        os.close(tells)
        with os.fdopen(told) as answer:
            steps = answer.read() or "0"
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code} {steps}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
