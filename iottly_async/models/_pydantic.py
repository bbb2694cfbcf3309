"""Pydantic schemas of the models: objects with the fields' own names.

Pydantic does not know slotted attrs classes. What it looks for is attached to each model
here: a schema, and a serializer for where a type says ``Any``. So a model can be a FastAPI
response, a field of a Pydantic model, and a part of an OpenAPI document. Pydantic is imported
only when it asks, so it is no dependency of the core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from inspect import cleandoc
from typing import Any, Final, get_type_hints

import attrs
import msgspec

from ..errors import CursorMismatchError
from ._model import names_of
from ._values import OpenEnum
from .cursor import Cursor
from .message import Message

# Messages are written with `payload` instead of `payload_json`, and with their `key`.
_MESSAGE_FIELDS: Final[Mapping[str, Any]] = {"payload": Any, "key": str}

_NOT_ALWAYS_JSON: Final = frozenset(["payload", "extra"])


def teach_pydantic(*models: type[Any]) -> None:
    """Attach what Pydantic looks for to each of these models."""
    for model in models:
        schema = _cursor_schema if model is Cursor else _model_schema
        model.__get_pydantic_core_schema__ = classmethod(schema)
        model.__pydantic_serializer__ = _LazySerializer()


class _LazySerializer:
    """The serializer that pydantic_core looks for in a value of unknown type."""

    def __get__(self, _: object, kind: Any) -> Any:
        return _serializer(kind)


@cache
def _serializer(kind: Any) -> Any:
    try:
        from pydantic import TypeAdapter
    except ImportError:
        adapter = None
    else:
        adapter = TypeAdapter(kind)
    if adapter is None:
        raise AttributeError("__pydantic_serializer__")
    return adapter.serializer


def _model_schema(model: type[attrs.AttrsInstance], _source: Any, handler: Any) -> Any:
    """The schema of a model: an instance is kept, an object is read by its fields."""
    from pydantic_core import core_schema as core

    fields = _fields(model)

    def shape(*, whole: bool) -> Any:
        # Every field is written; fields with a default may be missing when it is read.
        return core.typed_dict_schema(
            {
                name: core.typed_dict_field(
                    core.str_schema() if whole and kind is bytes else _field(kind, handler),
                    required=whole or needed,
                )
                for name, (kind, needed) in fields.items()
            },
            cls=model,
            ref=f"{model.__module__}.{model.__qualname__}:{id(model)}{'-out' if whole else ''}",
            metadata={"pydantic_js_updates": {"description": _first_paragraph(model)}},
        )

    make = _make_message if model is Message else model
    names = names_of(model)
    # Bytes need not be UTF-8, and a payload need not be JSON.
    plain_names = {name for name, (kind, _) in fields.items() if kind is bytes} | _NOT_ALWAYS_JSON

    def read(value: Any, read_fields: Callable[[Any], dict[str, Any]]) -> Any:
        return value if isinstance(value, model) else make(**read_fields(value))

    def write(value: Any, info: Any) -> dict[str, Any]:
        return {
            name: value[name] if name in plain_names else getattr(value, name)
            for name in _wanted(names, info)
        }

    return core.no_info_wrap_validator_function(
        read,
        shape(whole=False),
        serialization=core.plain_serializer_function_ser_schema(
            write,
            info_arg=True,
            return_schema=shape(whole=True),
        ),
    )


def _wanted(names: tuple[str, ...], info: Any) -> Iterable[str]:
    """The fields to write: Pydantic leaves `include` and `exclude` to the serializer."""
    if info.include is None and info.exclude is None:
        return names
    kept = names if info.include is None else [name for name in names if name in info.include]
    left_out = {} if info.exclude is None else info.exclude
    if isinstance(left_out, Mapping):
        left_out = {name for name, what in left_out.items() if what in (True, ...)}
    return [name for name in kept if name not in left_out]


def _fields(model: type[attrs.AttrsInstance]) -> dict[str, tuple[Any, bool]]:
    """The fields of the schema, each with its type and whether it is required."""
    kinds = get_type_hints(model)
    needed = {field.name: field.default is attrs.NOTHING for field in attrs.fields(model)}
    return {
        name: (_MESSAGE_FIELDS.get(name, kinds.get(name)), needed.get(name, False))
        for name in names_of(model)
    }


def _make_message(*, payload: Any = None, key: str = "", **fields: Any) -> Message:
    message = Message(payload_json=msgspec.json.encode(payload), **fields)
    _, _, ordinal = key.partition("-")
    return message.numbered(int(ordinal)) if ordinal.isdecimal() else message


def _field(kind: Any, handler: Any) -> Any:
    enum = _open_enum(kind)
    return handler.generate_schema(kind) if enum is None else _enum_schema(*enum)


def _open_enum(kind: Any) -> tuple[type[OpenEnum], bool] | None:
    """The enumeration of a field, and whether it may be None; None for another type."""
    parts = [part for part in getattr(kind, "__args__", (kind,)) if part is not type(None)]
    if len(parts) == 1 and isinstance(parts[0], type) and issubclass(parts[0], OpenEnum):
        return parts[0], kind is not parts[0]
    return None


def _enum_schema(enum: type[OpenEnum], nullable: bool) -> Any:
    """The schema of a text: values that the documents do not name are accepted too."""
    from pydantic_core import core_schema as core

    schema: Any = core.no_info_after_validator_function(
        enum,
        core.str_schema(),
        serialization=core.to_string_ser_schema(),
        metadata={
            "pydantic_js_updates": {
                "description": f"{_first_paragraph(enum)} Other values are possible.",
                "examples": [member.value for member in enum],
            }
        },
    )
    return core.nullable_schema(schema) if nullable else schema


def _cursor_schema(_model: type[Cursor], _source: Any, _handler: Any) -> Any:
    """The schema of a cursor: the text of `Cursor.to_json`, which a client sends back."""
    from pydantic_core import PydanticCustomError
    from pydantic_core import core_schema as core

    def read(value: Any) -> Cursor:
        if isinstance(value, Cursor):
            return value
        try:
            return Cursor.from_json(value if isinstance(value, str) else "")
        except CursorMismatchError as error:
            raise PydanticCustomError("cursor", str(error).replace("{", "{{")) from None

    return core.no_info_before_validator_function(
        read,
        core.is_instance_schema(Cursor),
        json_schema_input_schema=core.str_schema(),
        serialization=core.plain_serializer_function_ser_schema(
            Cursor.to_json,
            return_schema=core.str_schema(
                metadata={
                    "pydantic_js_updates": {
                        "title": "Cursor",
                        "description": "The position of a walk; send it back unchanged to resume.",
                    }
                }
            ),
        ),
    )


def _first_paragraph(model: type[Any]) -> str:
    return " ".join(cleandoc(model.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`")
