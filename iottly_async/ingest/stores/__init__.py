"""Where rows go: one file a store, one small protocol for all."""

from __future__ import annotations

import os
from typing import Final

from ...config import RetryPolicy
from ...errors import ConfigurationError
from .base import Group, Held, Rejected, Store
from .duckdb.store import DuckDBStore
from .jsonl.store import JSONLinesStore
from .parquet.store import ParquetStore
from .postgres.store import PostgresStore

__all__ = [
    "DuckDBStore",
    "Group",
    "Held",
    "JSONLinesStore",
    "ParquetStore",
    "PostgresStore",
    "Rejected",
    "Store",
    "open_store",
]

_KINDS: Final[dict[str, type[DuckDBStore | JSONLinesStore | ParquetStore]]] = {
    "duckdb": DuckDBStore,
    "jsonl": JSONLinesStore,
    "parquet": ParquetStore,
}
_SUFFIXES: Final = {
    ".duckdb": "duckdb",
    ".ddb": "duckdb",
    ".jsonl": "jsonl",
    ".jsonl.zst": "jsonl",
    ".ndjson": "jsonl",
    ".ndjson.zst": "jsonl",
    ".parquet": "parquet",
}
_DATABASES: Final = ("postgresql", "postgres")
_ACCEPTED: Final = (
    "a file ending in .duckdb or .jsonl (or .jsonl.zst), a folder ending in .parquet, "
    "duckdb:PATH, jsonl:PATH, parquet:PATH, postgresql://HOST/DATABASE, or an object with the "
    "methods of iottly_async.ingest.Store"
)


def open_store(store: str | os.PathLike[str] | Store, *, retry: RetryPolicy | None = None) -> Store:
    """The store that a text names; nothing is opened or written yet.

    Args:
        store: a path ending in ``.duckdb`` (``.ddb``), ``.jsonl`` (``.ndjson``; with
            ``.zst`` behind it compressed) or ``.parquet`` (a folder); or ``duckdb:PATH``,
            ``jsonl:PATH`` or ``parquet:PATH`` for any other name (``duckdb:///srv/x`` is
            the path /srv/x); or the URL of a PostgreSQL database (`PostgresStore`); or a
            store object, which is returned as it is.
        retry: how often and how soon a connection to a database that was lost is sought
            again; None is `RetryPolicy` as it comes.

    Raises:
        ConfigurationError: no such kind of store, or its extra is not installed.
    """
    if not isinstance(store, str | os.PathLike):
        if isinstance(store, Store):
            return store
        raise ConfigurationError(f"store must be {_ACCEPTED}, not {type(store).__name__}")
    text = os.fspath(store)
    scheme, colon, path = text.partition(":")
    if colon and scheme.lower() in _DATABASES:
        return PostgresStore(text, retry=retry or RetryPolicy())
    # One letter before the colon is a drive, not a scheme.
    if not colon or len(scheme) == 1 or os.sep in scheme:
        kind = _kind_by_suffix(text.lower())
        path = text
    else:
        kind = scheme.lower() if scheme.lower() in _KINDS else None
        path = path.removeprefix("//")
    if kind is None or not path:
        raise ConfigurationError(f"store must be {_ACCEPTED}, not {_shown(text)}")
    return _KINDS[kind](path)


def _kind_by_suffix(path: str) -> str | None:
    return next((kind for suffix, kind in _SUFFIXES.items() if path.endswith(suffix)), None)


def _shown(text: str) -> str:
    """A store's text fit for an error: what stands before an @ may be a password."""
    scheme, slashes, rest = text.partition("://")
    if "@" in rest:
        return repr(f"{scheme}{slashes}…@{rest.rpartition('@')[2].split('?')[0]}")
    return repr(text)
