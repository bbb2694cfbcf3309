"""Writes what was found as a profile, which `Config.from_file` reads. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import inf
from typing import Any

from attrs import fields_dict

from ..config import WRITABLE, Config, RetryPolicy
from .findings import Diagnosis, Finding


def profile_text(diagnosis: Diagnosis, config: Config, project_id: str) -> str:
    """Write a profile: the settings of a session, and those that follow from a diagnosis.

    Args:
        diagnosis: what was found.
        config: of the session. Settings that have their default are left out.
        project_id: of the project.

    Returns:
        TOML. Each setting that was found has the evidence above it.
    """
    because = {each.setting.name: each for each in diagnosis.findings if each.setting is not None}
    lines = [
        "# Written by `iottly doctor`. It holds no key.",
        f"project = {_toml(project_id)}",
    ]
    for name in WRITABLE:
        if name in because:
            lines += _found(because[name])
        elif name == "retry":
            lines += _differing("retry.", config.retry, RetryPolicy())
        elif name == "base_url":
            lines.append(f"base_url = {_toml(config.base_url)}")
        elif name == "trust_env":
            lines += ['proxy = "env"'] if config.trust_env else []
        elif getattr(config, name) != getattr(Config(), name):
            lines.append(f"{name} = {_toml(getattr(config, name))}")
    return "\n".join(lines) + "\n"


def _found(found: Finding) -> Iterator[str]:
    yield ""
    yield f"# {found.check}: {found.evidence}"
    if found.setting is not None:
        yield f"{found.setting.name} = {_toml(found.setting.value)}"


def _differing(prefix: str, own: RetryPolicy, default: RetryPolicy) -> Iterator[str]:
    for name in fields_dict(RetryPolicy):
        if getattr(own, name) != getattr(default, name):
            yield f"{prefix}{name} = {_toml(getattr(own, name))}"


def _toml(value: Any) -> str:
    if value == inf:
        return "inf"
    return json.dumps(value, ensure_ascii=False)
