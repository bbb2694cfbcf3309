"""Runs a diagnosis against a server, and shows what it found by check."""

from __future__ import annotations

from typing import Any

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.doctor import Diagnosis, Finding, Verdict, diagnose
from iottly_async.emulator import Emulator

# No message arrives while a server at rest is examined.
NEVER_TOLD = {"late messages"}


async def examine(url: str, key: str, project: str, **more: Any) -> Diagnosis:
    """Diagnose a server with a session of its own; `patience` and `timeout` are passed on."""
    passed = {name: more.pop(name) for name in ("patience", "timeout") if name in more}
    config = Config(base_url=url, **more)
    async with IottlySession(key, config=config, limiter=RateLimiter()) as session:
        return await diagnose(session, project, **passed)


async def examine_emulator(emulator: Emulator, **more: Any) -> Diagnosis:
    """Diagnose an emulator."""
    return await examine(emulator.base_url, emulator.api_key, emulator.project_id, **more)


def by_check(diagnosis: Diagnosis) -> dict[str, Finding]:
    """The findings by the names of their checks."""
    return {found.check: found for found in diagnosis.findings}


def checks(diagnosis: Diagnosis, verdict: Verdict) -> set[str]:
    """The names of the checks with a verdict."""
    return {found.check for found in diagnosis.findings if found.verdict is verdict}
