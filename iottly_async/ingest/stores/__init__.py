"""Where rows go: one file a store, one small protocol for all."""

from __future__ import annotations

import os
from typing import Final

from ...errors import ConfigurationError
from .base import Group, Held, Rejected, Store
from .duckdb import DuckDBStore
from .jsonl import JSONLinesStore

__all__ = [
    "DuckDBStore",
    "Group",
    "Held",
    "JSONLinesStore",
    "Rejected",
    "Store",
    "open_store",
]

_KINDS: Final[dict[str, type[DuckDBStore | JSONLinesStore]]] = {
    "duckdb": DuckDBStore,
    "jsonl": JSONLinesStore,
}
_SUFFIXES: Final = {".duckdb": "duckdb", ".ddb": "duckdb", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ACCEPTED: Final = (
    "a file ending in .duckdb or .jsonl, duckdb:PATH, jsonl:PATH, or an object with the "
    "methods of iottly_async.ingest.Store"
)


def open_store(store: str | os.PathLike[str] | Store) -> Store:
    """The store that a text names; nothing is opened or written yet.

    Args:
        store: a path ending in ``.duckdb`` (``.ddb``) or ``.jsonl`` (``.ndjson``), or
            ``duckdb:PATH`` or ``jsonl:PATH`` for any other name (``duckdb:///srv/x`` is
            the path /srv/x), or a store object, which is returned as it is.

    Raises:
        ConfigurationError: no such kind of store, or its extra is not installed.
    """
    if not isinstance(store, str | os.PathLike):
        if isinstance(store, Store):
            return store
        raise ConfigurationError(f"store must be {_ACCEPTED}, not {type(store).__name__}")
    text = os.fspath(store)
    scheme, colon, path = text.partition(":")
    # One letter before the colon is a drive, not a scheme.
    if not colon or len(scheme) == 1 or os.sep in scheme:
        kind = _SUFFIXES.get(os.path.splitext(text)[1].lower())
        path = text
    else:
        kind = scheme.lower() if scheme.lower() in _KINDS else None
        path = path.removeprefix("//")
    if kind is None or not path:
        raise ConfigurationError(f"store must be {_ACCEPTED}, not {_shown(text)}")
    return _KINDS[kind](path)


def _shown(text: str) -> str:
    """A store's text fit for an error: what stands before an @ may be a password."""
    scheme, slashes, rest = text.partition("://")
    if "@" in rest:
        return repr(f"{scheme}{slashes}…@{rest.rpartition('@')[2].split('?')[0]}")
    return repr(text)
