"""Checks the typed columns of a Parquet store: all files of its folder have the same."""

from __future__ import annotations

from collections.abc import Iterable

from ....errors import ConfigurationError
from ...payload_columns import PayloadColumn
from .schema import DEVICE, parts_of, read_manifest


def check_columns(path: str, part: str, columns: Iterable[PayloadColumn]) -> None:
    """Check that a part can have these columns.

    Args:
        path: of the store.
        part: the name of the part.
        columns: those that it is to have.

    Raises:
        ConfigurationError: a name is that of the folders of devices, or there are other parts.
    """
    taken = DEVICE.removesuffix("=")
    if any(one.name.lower() == taken for one in columns):
        raise ConfigurationError(
            f"columns: a Parquet store has folders named {DEVICE}…, which readers take for a "
            f"column {taken!r}; give yours another name"
        )
    others = sorted(parts_of(path) - {part})
    if others:
        raise ConfigurationError(
            f"columns: store {path!r} has other parts ({', '.join(others)}), and all files of a "
            "folder must have the same columns; leave out columns, or name another folder"
        )


def check_without(path: str, part: str) -> None:
    """Check that no other part has typed columns.

    Args:
        path: of the store.
        part: the name of the part that is to write there, too.

    Raises:
        ConfigurationError: one has.
    """
    for other in sorted(parts_of(path) - {part}):
        manifest = read_manifest(path, other)
        if manifest is not None and manifest.columns:
            raise ConfigurationError(
                f"store {path!r} has typed columns, made by part {other!r}, and all files of a "
                "folder must have the same columns; name another folder"
            )
