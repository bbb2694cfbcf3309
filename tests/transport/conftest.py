"""Every test here leaves no task, no socket and no unhandled error of the event loop."""

import pytest


@pytest.fixture(autouse=True)
def nothing_is_left(leaves_nothing: None) -> None:
    """Applies `leaves_nothing` to every test of the folder."""
