"""Functions that run in another process, which is forked from one that has imported everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from .forked import forked


@contextmanager
def other_process(
    function: Callable[..., None], *arguments: Any
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run a function in another process, which is killed at the end of the block.

    Args:
        function: One of `tests.support.store_holders`. Its last argument is a connection.
        arguments: Its other arguments.

    Yields:
        The process, and the other end of its connection.
    """
    context = forked()
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(*arguments, theirs))
    process.start()
    theirs.close()  # so that `recv` ends when the process does
    with ours:
        try:
            yield process, ours
        finally:
            process.kill()
            process.join()
            process.close()
