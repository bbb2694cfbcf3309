"""Names of stores that are fit to be shown."""

from __future__ import annotations


def without_secrets(store: str) -> str:
    """A store's path or URL without user, password and parameters, for errors and reports."""
    scheme, slashes, rest = store.partition("://")
    if not slashes:
        return store
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
