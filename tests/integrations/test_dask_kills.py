"""The documented script on a Dask cluster; it and the scheduler are killed, and it is run again.

``python -m benchmarks scaling --part kills`` is the same with 50 kills, of workers too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.cluster_trial import cluster_trial

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_the_script_is_killed_and_run_again(tmp_path: Path) -> None:
    """All rows are in the folder once. Without a scheduler, the script ends with an error."""
    with cluster_trial(tmp_path / "folder", kills=2, workers=1) as trial:
        trial.kill("script", after=30)
        trial.kill("scheduler", after=30)
        trial.finish()
        assert (trial.wrong(), trial.hung) == (0, 0)
