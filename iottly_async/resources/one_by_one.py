"""Methods that yield messages, made of those that yield batches, with the same arguments."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from ..models import Message, MessageBatch

_Owner = TypeVar("_Owner")
_P = ParamSpec("_P")

Batches = Callable[Concatenate[_Owner, _P], AsyncGenerator[MessageBatch, None]]
Messages = Callable[Concatenate[_Owner, _P], AsyncGenerator[Message, None]]


def one_by_one(
    batches: Batches[_Owner, _P],
) -> Callable[[Callable[[_Owner], None]], Messages[_Owner, _P]]:
    """Turn a method that has no more than a name and a docstring into one that yields the
    messages of `batches`, and takes what that takes: to a reader, an editor and a type
    checker as well.
    """

    def made_of(named: Callable[[_Owner], None]) -> Messages[_Owner, _P]:
        @wraps(named)
        async def walk(
            self: _Owner, /, *args: _P.args, **kwargs: _P.kwargs
        ) -> AsyncGenerator[Message, None]:
            found = batches(self, *args, **kwargs)
            try:
                async for batch in found:
                    messages = batch.messages
                    messages.reverse()
                    while messages:
                        # Kept by nobody, a message goes when its consumer lets go of it, and its
                        # memory serves the next payload: a tenth of the walk's CPU time.
                        yield messages.pop()
            finally:
                await found.aclose()

        yields = "AsyncGenerator[Message, None]"
        signature = inspect.signature(batches).replace(return_annotation=yields)
        walk.__signature__ = signature  # type: ignore[attr-defined]
        walk.__annotations__ = {**batches.__annotations__, "return": AsyncGenerator[Message, None]}
        return walk

    return made_of
