"""`iottly quota`: how many requests the key has left."""

from __future__ import annotations

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run


@pytest.mark.parametrize(("headers", "spent"), [("both", 1), ("v1", 2)])
def test_the_quota_is_what_the_service_says(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, headers: str, spent: int
) -> None:
    """A second request is made where the project API has no limit headers (D1)."""
    options = {"devices": 1, "messages": 10, "rate_limit": 60, "rate_headers": headers}
    with EmulatorThread(**options) as emulator:  # type: ignore[arg-type]
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        done = iottly("quota")
        (record,) = done.records
        assert (done.code, done.err, len(emulator.requests)) == (0, "", spent)
        assert (record["limit"], record["remaining"]) == (60, 60 - spent)
        assert record["resets_at"].endswith("Z")


def test_a_key_without_a_limit(iottly: Run) -> None:
    """stderr says so, and the record is empty."""
    done = iottly("quota")
    assert (done.code, done.records[0]["limit"]) == (0, None)
    assert "the service names no limit" in done.err
