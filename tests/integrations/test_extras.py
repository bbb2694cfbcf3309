"""Integrations without their extra: the error says how to install it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "missing"),
    [("fastapi", "fastapi"), ("dask", "distributed"), ("otel", "opentelemetry")],
)
def test_a_missing_extra_is_named_with_its_install_command(module: str, missing: str) -> None:
    """Importing an integration without its extra raises an error with the pip command."""
    code = f"import sys; sys.modules[{missing!r}] = None; import iottly_async.integrations.{module}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert f"pip install 'iottly-async[{module}]'" in last
