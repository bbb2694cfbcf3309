"""A report as a file: that it can be written is found out before the work, not after it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigurationError, StoreError


class ReportFile:
    """A file for a report in JSON, replaced whole.

    Args:
        path: of the file; its folder must be there.

    Raises:
        ConfigurationError: it cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(path.name + ".new")
        if path.is_dir():
            raise ConfigurationError(f"--report {str(path)!r} is a folder; name a file in it")
        if reason := _fault(self._aside, b""):
            raise ConfigurationError(f"--report {str(path)!r} cannot be written: {reason}")
        self._aside.unlink()

    def write(self, report: Mapping[str, Any]) -> None:
        """Put a report in the file.

        Raises:
            StoreError: it cannot be written any more.
        """
        text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        if reason := _fault(self._aside, text):
            raise StoreError(f"the report {str(self._path)!r} cannot be written: {reason}")
        os.replace(self._aside, self._path)


def _fault(path: Path, data: bytes) -> str | None:
    try:
        path.write_bytes(data)
    except OSError as error:
        return error.strerror or str(error)
    return None
