"""`walk` and `walk_many` are `batches` and `batches_many`, message by message."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from typing import Any, get_type_hints

import pytest

from iottly_async import Message, MessageBatch
from iottly_async.resources.walks import Walks


@pytest.mark.parametrize(
    ("walk", "batches"),
    [(Walks.walk, Walks.batches), (Walks.walk_many, Walks.batches_many)],
    ids=["walk", "walk_many"],
)
def test_it_takes_the_same_arguments(walk: Any, batches: Any) -> None:
    """To whoever asks: names, types and defaults are those of the batches, and only what
    comes is of another type."""
    assert inspect.signature(walk).parameters == inspect.signature(batches).parameters
    taken, given = get_type_hints(walk), get_type_hints(batches)
    assert taken.pop("return") == AsyncGenerator[Message, None]
    assert given.pop("return") == AsyncGenerator[MessageBatch, None]
    assert taken == given
    assert walk.__qualname__.startswith("Walks.walk")
    assert inspect.isasyncgenfunction(walk)
