"""A short soak: the load of the long one, for a few seconds."""

from __future__ import annotations

import pytest

from benchmarks.soak import soak
from tests.support.scale import sized


async def test_a_soak_loses_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Reads, commands, walks, cancellations and closings under faults keep every bound."""
    figures = await soak(sized(2, 60), share=0.15, seed=3)
    assert [figure.name for figure in figures if not figure.reached] == []
    assert "rows walked" in capsys.readouterr().out
