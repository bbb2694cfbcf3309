"""Whether the run is a long one: tests then take their full size.

``HYPOTHESIS_PROFILE=long python -m pytest tests/faults`` runs them so.
"""

import os

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
"""True in a long run."""


def sized(short: int, full: int) -> int:
    """How many: `short` in every run, `full` in a long one."""
    return full if LONG else short
