"""The base of all models: how a model becomes a dict, JSON, or part of another tool's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import msgspec


class _FieldsOfInstances:
    """What msgspec looks for in an instance.

    msgspec writes a dataclass by its fields, and an attrs class by its slots, where a
    message's payload would be base64. Only an instance has the fields of a dataclass. The
    class is none: `dataclasses.replace` would not keep the bytes of a payload.
    """

    def __get__(self, model: Model | None, _: object) -> Mapping[str, Any]:
        if model is None:
            raise AttributeError("__dataclass_fields__")
        return _written_fields(model._msgspec_names())


class Model:
    """A frozen value of the library. It can be written by whatever writes JSON.

    - `to_dict` and `to_json`: plain values of JSON, with times as ISO text in UTC.
    - ``dict(model)`` is the same as `to_dict`. FastAPI's ``jsonable_encoder`` calls it.
    - ``msgspec.json.encode(model)`` writes the same names; a cursor is an object there.
    - Pydantic reads and writes models, also where a type says ``Any``.
    - ``json.dumps(value, default=dict)`` writes models wherever they are.
    """

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Convert the model to values that JSON has.

        Returns:
            A new dict by the names of the fields. Times are ISO text in UTC, enumerations are
            text, and bytes that are no JSON are text with replacement characters.
        """
        return {name: self[name] for name in self.keys()}

    def to_json(self) -> str:
        """Write `to_dict` as JSON.

        Returns:
            One line of text.
        """
        return msgspec.json.encode(self.to_dict()).decode()

    def keys(self) -> Sequence[str]:
        """The names that `to_dict` has.

        Returns:
            Names of fields, in their order.
        """
        return names_of(type(self))

    def __getitem__(self, name: str) -> Any:
        """The value that `to_dict` has by this name."""
        if name in names_of(type(self)):
            return plain(getattr(self, name))
        raise KeyError(name)

    # With `__getitem__` Python would ask for the items 0, 1, 2, …
    __iter__ = None

    @classmethod
    def _written_names(cls) -> tuple[str, ...]:
        """The names of `to_dict`; called once for each class."""
        return tuple(field.name for field in attrs.fields(cls))  # type: ignore[arg-type]

    def _msgspec_names(self) -> tuple[str, ...]:
        """The attributes that msgspec writes."""
        return names_of(type(self))

    def _nested(self) -> Any:
        """The value of this model within another one's `to_dict`."""
        return self.to_dict()

    if not TYPE_CHECKING:
        __dataclass_fields__ = _FieldsOfInstances()


def names_of(kind: Any) -> tuple[str, ...]:
    """The names that a model's `to_dict` has.

    Args:
        kind: the model's class.
    """
    return _cached_names(kind)


@cache
def _cached_names(kind: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = kind._written_names()
    return names


@cache
def _written_fields(names: tuple[str, ...]) -> Mapping[str, Any]:
    shape: Any = make_dataclass("Shape", names)
    fields: Mapping[str, Any] = shape.__dataclass_fields__
    return fields


def plain(value: Any) -> Any:
    """Convert a value of a model to values that JSON has; an unknown type stays as it is."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return msgspec.to_builtins(value.astimezone(UTC))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Model):
        return value._nested()
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
