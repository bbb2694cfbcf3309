"""Shows `walk` and `walk_many` with their arguments in the reference.

In the source they have a name and a docstring, and a decorator that gives them the signature of
`batches` and `batches_many`. griffe reads the source and does not run it.
"""

from __future__ import annotations

from typing import Any

from griffe import Class, Extension, Function

RETURNS = {"_messages_of": "AsyncGenerator[Message, None]"}


class DecoratedSignatures(Extension):
    """Copies the parameters of the method that a decorator names."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Give each decorated method of a class its signature."""
        for method in cls.members.values():
            if not isinstance(method, Function):
                continue
            for decorator in method.decorators:
                name, _, argument = str(decorator.value).rstrip(")").partition("(")
                original = cls.members.get(argument)
                if name in RETURNS and isinstance(original, Function):
                    method.parameters = original.parameters
                    method.returns = RETURNS[name]
