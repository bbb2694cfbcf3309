"""The files of `--report` and `--html`."""

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
from .console import json_of


class OutputFile:
    """A file that an option names; a write replaces it atomically.

    Construction checks that the file can be written, so that a wrong path is an error
    before the work and not after it. A pipe or a device, such as /dev/stdout, is written to.

    Args:
        path: The file. Its folder must exist.
        option: The option's name, for errors.

    Raises:
        ConfigurationError: The file cannot be written.
    """

    def __init__(self, path: Path, *, option: str) -> None:
        self._path = checked_path(path, name=option)
        self._shown = f"{option} {self._path!r}"
        if os.path.isdir(self._path):
            raise ConfigurationError(f"{self._shown} is a folder; name a file")
        self._special = os.path.exists(self._path) and not os.path.isfile(self._path)
        if self._special:
            return
        with os_errors_as(ConfigurationError, f"{self._shown} cannot be written"):
            trial = aside_path(self._path)
            os.close(create_aside(trial, os.O_WRONLY))
            os.unlink(trial)

    def put(self, data: bytes) -> None:
        """Write the file's content.

        Raises:
            StoreError: The file can no longer be written.
        """
        with os_errors_as(StoreError, f"{self._shown} cannot be written"):
            if self._special:
                with open(self._path, "wb") as file:
                    file.write(data)
            else:
                replace_file(self._path, data)


class ReportFile(OutputFile):
    """The file for a report in JSON.

    Args:
        path: As for any file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, option="--report")

    def write(self, report: Mapping[str, Any]) -> None:
        """Write a report.

        Raises:
            StoreError: The file can no longer be written.
        """
        self.put(msgspec.json.format(json_of(report), indent=2) + b"\n")
