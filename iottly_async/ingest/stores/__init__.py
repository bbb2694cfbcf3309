"""Stores: one folder for each kind, and one small protocol for all of them."""

from __future__ import annotations

import os
from typing import Final

from ...config import RetryPolicy
from ...errors import ConfigurationError
from ...texts import without_secrets
from .base import Group, Rejected, Store, StoredState, StoreReader
from .devices import ListedDevice
from .duckdb.store import DuckDBStore
from .jsonl.store import JSONLinesStore
from .names import checked_text
from .parquet.store import ParquetStore
from .postgres.store import PostgresStore

__all__ = [
    "DuckDBStore",
    "Group",
    "JSONLinesStore",
    "ListedDevice",
    "ParquetStore",
    "PostgresStore",
    "Rejected",
    "Store",
    "StoreReader",
    "StoredState",
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
    """The store that a text names. Nothing is opened or written yet.

    Args:
        store: one of these:

            - a path that ends in ``.duckdb`` (or ``.ddb``), in ``.jsonl`` (or ``.ndjson``;
              with ``.zst`` after it the file is compressed), or in ``.parquet`` (a folder);
            - ``duckdb:PATH``, ``jsonl:PATH`` or ``parquet:PATH`` for any other name
              (``duckdb:///srv/x`` is the path /srv/x);
            - the URL of a PostgreSQL database, as `PostgresStore` takes it;
            - a store object, which is returned as it is.
        retry: how a lost connection to a database is made again. None is the default
            `RetryPolicy`.

    Returns:
        The store.

    Raises:
        ConfigurationError: there is no such kind of store, or its extra is not installed.
    """
    if not isinstance(store, str | os.PathLike):
        if isinstance(store, Store):
            return store
        raise ConfigurationError(f"store must be {_ACCEPTED}, not {type(store).__name__}")
    text = checked_text(store, name="store")
    scheme, colon, path = text.partition(":")
    if colon and scheme.lower() in _DATABASES:
        return PostgresStore(text, retry=retry or RetryPolicy())
    # A single letter before the colon is a drive of Windows, not a scheme.
    if not colon or len(scheme) == 1 or os.sep in scheme:
        kind = _kind_by_suffix(text.lower())
        path = text
    else:
        kind = scheme.lower() if scheme.lower() in _KINDS else None
        path = path.removeprefix("//")
    if kind is None or not path:
        raise ConfigurationError(f"store must be {_ACCEPTED}, not {without_secrets(text)!r}")
    return _KINDS[kind](path)


def _kind_by_suffix(path: str) -> str | None:
    return next((kind for suffix, kind in _SUFFIXES.items() if path.endswith(suffix)), None)
