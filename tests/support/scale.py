"""The size of tests: full in a long run, smaller otherwise.

``HYPOTHESIS_PROFILE=long python -m pytest tests/faults`` makes a long run.
"""

import os

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
"""Whether this is a long run."""


def sized(short: int, full: int) -> int:
    """A count: `short` usually, `full` in a long run."""
    return full if LONG else short
