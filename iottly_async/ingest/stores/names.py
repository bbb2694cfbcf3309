"""Paths and names of stores: which paths are accepted, and how a store is shown."""

from __future__ import annotations

import os
import re
import stat
from typing import Final

from ...errors import ConfigurationError
from ...texts import without_secrets

# Two letters or more: a single one is a drive of Windows. One slash: `pathlib` removes the other.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def checked_path(path: str | os.PathLike[str], *, name: str) -> str:
    """A path of the local file system, as a text.

    Args:
        path: what a caller gave.
        name: of the argument, in the error.

    Returns:
        The path's text.

    Raises:
        ConfigurationError: it is empty, a URL, or no path that the system can have.
    """
    text = checked_text(path, name=name)
    if _SCHEME.match(text):
        raise ConfigurationError(
            f"{name} must be a path; the URL {without_secrets(text)!r} is not supported"
        )
    return text


def checked_text(path: str | os.PathLike[str], *, name: str) -> str:
    """A path, or a URL, as a text.

    Raises:
        ConfigurationError: it is empty, or holds what no path can.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} must be text, not {type(text).__name__}")
    if not text:
        raise ConfigurationError(f"{name} is empty")
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ConfigurationError(f"{name} holds a character that no path can")
    return text


def real_path(path: str) -> str:
    """The path without links, so that all paths of one store are the same.

    What is no file and no folder, such as a device, keeps the path that names it.

    Raises:
        ConfigurationError: it is a pipe or a socket, or a link that leads to itself.
    """
    try:
        kind = os.stat(path).st_mode
    except OSError:
        found = os.path.realpath(path)
        if os.path.islink(found):
            raise ConfigurationError(
                f"{path!r} is a link that leads to itself; remove it, or name another path"
            ) from None
        return found
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        raise ConfigurationError(f"{path!r} is a pipe or a socket; name a file")
    return os.path.realpath(path) if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else path
