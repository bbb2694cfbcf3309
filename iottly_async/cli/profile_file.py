"""The file of `iottly doctor --save`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigurationError, StoreError
from ..ingest.stores.appendfile import os_errors_as
from ..ingest.stores.aside import aside_path, new_mode, sync_directory, write_synced
from ..ingest.stores.names import checked_path
from .console import say


class ProfileFile:
    """A file that must not exist yet; it is written whole or not at all.

    Args:
        path: The file. Its folder must exist.

    Raises:
        ConfigurationError: There is such a file, or no folder for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = checked_path(path, name="--save")
        if os.path.lexists(self._path):
            raise ConfigurationError(
                f"--save {self._path!r} exists and is not overwritten; name another file"
            )
        folder = os.path.dirname(self._path) or "."
        if not os.path.isdir(folder):
            raise ConfigurationError(f"--save: there is no folder {folder!r}; create it first")

    def write(self, text: str) -> None:
        """Write the file.

        Raises:
            StoreError: It exists by now, or cannot be written.
        """
        aside = aside_path(self._path)
        with os_errors_as(StoreError, f"the profile {self._path!r} cannot be written"):
            try:
                write_synced(aside, text.encode(), mode=new_mode())
                os.link(aside, self._path)  # unlike a renaming, it replaces nothing
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(aside)
            sync_directory(self._path)
        say(f"the profile was written to {self._path}")
