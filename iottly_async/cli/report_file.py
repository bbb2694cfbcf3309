"""The file of `iottly ingest --report`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigurationError, StoreError
from ..ingest.stores.appendfile import os_errors_as
from ..ingest.stores.aside import aside_path, create_aside, replace_file
from ..ingest.stores.names import checked_path
from .output import json_of


class ReportFile:
    """The file for a report in JSON; a write replaces it atomically.

    Construction checks that the file can be written, so that a wrong path is an error
    before the work and not after it.

    Args:
        path: The file. Its folder must exist.

    Raises:
        ConfigurationError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = checked_path(path, name="--report")
        if os.path.isdir(self._path):
            raise ConfigurationError(f"--report {self._path!r} is a folder; name a file")
        with os_errors_as(ConfigurationError, f"--report {self._path!r} cannot be written"):
            trial = aside_path(self._path)
            os.close(create_aside(trial, os.O_WRONLY))
            os.unlink(trial)

    def write(self, report: Mapping[str, Any]) -> None:
        """Write a report.

        Raises:
            StoreError: The file can no longer be written.
        """
        text = msgspec.json.format(json_of(report), indent=2) + b"\n"
        with os_errors_as(StoreError, f"the report {self._path!r} cannot be written"):
            replace_file(self._path, text)
