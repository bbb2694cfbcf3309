"""Processes that are forked from one that has imported what they need.

Starting Python and importing the package takes half a second; a fork takes a hundredth of that. The
processes of a test run are forked from the same one, so it imports what any of them needs.
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext  # which Windows does not have

_NEEDED: Final = ("tests.support.store_holders", "tests.support.cluster_trial")


def forked() -> ForkServerContext:
    """A context of `multiprocessing`, with those modules that the tests of this run have loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in _NEEDED if name in sys.modules])
    return context
