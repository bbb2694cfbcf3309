"""The cattrs converter that reads all models except messages.

By default cattrs converts "false" to True, "abc" to a list of letters, and None to 'None'.
The hooks here accept each scalar type for itself and nothing else. An optional field of
another type is None, and its value is kept in `extra` (D8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from attrs import AttrsInstance, evolve, fields
from cattrs import AttributeValidationNote, BaseValidationError, Converter, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from ..errors import DecodeError
from ..models import (
    Board,
    Command,
    CommandResult,
    CommandStatus,
    Device,
    FleetDevice,
    FleetStatus,
    License,
    LicenseStatus,
    OperatingStatus,
    ProjectInfo,
)
from ..models._values import OpenEnum
from ..times import read_time

T = TypeVar("T")
M = TypeVar("M", bound=AttrsInstance)

# The names of fields on the wire, for each model, where they differ from the model's.
_WIRE_NAMES: Final[Mapping[type[AttrsInstance], Mapping[str, str]]] = {
    ProjectInfo: {
        "agent_url": "projectgetagenturl",
        "agent_file": "agentfile",
        "agent_api_host": "agentapihost",
    },
    Device: {"id": "ID", "mac_address": "macaddress", "operating_status": "operatingstatus"},
    Board: {"mac_address": "macaddress", "operating_status": "operatingstatus"},
    License: {},
    FleetDevice: {},
    Command: {"id": "command_id"},
    CommandResult: {"id": "command_id"},
}
# Names that are read if the documented one is missing: licences and the fleet API name a
# device's id so.
_OTHER_NAMES: Final[Mapping[type[AttrsInstance], Mapping[str, str]]] = {Device: {"id": "ID"}}


class _WrongTypeError(ValueError):
    """A value has the wrong type; the error's text is the expected one."""


def make_converter() -> Converter:
    """Make a converter that reads all models except messages from decoded JSON.

    A text is never converted to a number, nor a number to a text. 42.0 is the whole number
    42. Unknown enumeration values, unknown fields and optional fields that cannot be read
    are kept.
    """
    converter = Converter(detailed_validation=True)
    for kind, expected in ((str, "a text"), (bool, "true or false")):
        converter.register_structure_hook(kind, _exactly(kind, expected))
    converter.register_structure_hook(int, lambda value, _: _whole(value))
    converter.register_structure_hook(datetime, lambda value, _: _strict_time(value))
    for enum in (CommandStatus, FleetStatus, LicenseStatus, OperatingStatus):
        converter.register_structure_hook(enum, _member(enum))
    for model in _WIRE_NAMES:
        converter.register_structure_hook(model, _model_hook(converter, model))
    return converter


def _exactly(kind: type[T], expected: str) -> Callable[[Any, Any], T]:
    def hook(value: Any, _: Any) -> T:
        if type(value) is not kind:
            raise _WrongTypeError(expected)
        return value

    return hook


def _whole(value: Any) -> int:
    # JSON has one type of number: 42.0 equals 42.
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    raise _WrongTypeError("a whole number")


def _member(kind: type[OpenEnum]) -> Callable[[Any, Any], OpenEnum]:
    def hook(value: Any, _: Any) -> OpenEnum:
        if type(value) is not str:
            raise _WrongTypeError("a text")
        return kind(value)

    return hook


def _strict_time(value: Any) -> datetime:
    try:
        return read_time(value, "$")
    except DecodeError:
        pass
    raise _WrongTypeError("a time")


def _model_hook(converter: Converter, model: type[M]) -> Callable[[Any, Any], M]:
    """A hook for one model: it reads fields by their names on the wire, the rest into `extra`."""
    read = [field for field in fields(model) if field.name != "extra"]
    names = {field.name: _wire_name(model, field.name) for field in read}
    overrides: dict[str, Any] = {name: override(rename=wire) for name, wire in names.items()}
    overrides["extra"] = override(omit=True)
    generated = make_dict_structure_fn(model, converter, **overrides)
    known = frozenset(names.values())
    nullable = frozenset(names[field.name] for field in read if field.default is None)
    others = _OTHER_NAMES.get(model, {})

    def hook(value: Any, kind: Any) -> M:
        if type(value) is not dict:
            raise _WrongTypeError("an object")
        for other, name in others.items():
            if name not in value and other in value:
                value = {name: value[other], **value}
                del value[other]
        given = {k: v for k, v in value.items() if v is not None or k not in nullable}
        extra = {name: member for name, member in value.items() if name not in known}
        try:
            found = generated(given, kind)
        except BaseValidationError as error:
            unread = _fields_at_fault(error, names)
            if not unread <= nullable:
                raise
        else:
            return evolve(found, extra=extra) if extra else found  # type: ignore[misc]
        extra = {name: given.pop(name) for name in unread} | extra
        return evolve(generated(given, kind), extra=extra)  # type: ignore[misc]

    return hook


def _fields_at_fault(error: BaseValidationError, names: Mapping[str, str]) -> set[str]:
    """The names on the wire of the fields that could not be read."""
    return {
        names[note.name]
        for inner in error.exceptions
        for note in getattr(inner, "__notes__", ())
        if isinstance(note, AttributeValidationNote)
    }


def _wire_name(model: Any, name: str) -> str:
    return _WIRE_NAMES[model].get(name, name)


def structure(converter: Converter, value: Any, kind: type[T], path: str = "$") -> T:
    """Read decoded JSON into a model.

    Args:
        converter: of `make_converter`.
        value: decoded JSON.
        kind: the model's class.
        path: where the value is in the answer, for the error.

    Raises:
        DecodeError: it does not have the documented form; the path tells where.
    """
    try:
        return converter.structure(value, kind)
    except BaseValidationError as error:
        place, expected = _first_error(error, path)
    except _WrongTypeError as error:
        place, expected = path, str(error)
    raise DecodeError(f"expected {expected}", path=place)


def _first_error(error: BaseException, path: str) -> tuple[str, str]:
    """The path of the first error that cattrs collected, and what was expected there."""
    while isinstance(error, BaseValidationError):
        inner = error.exceptions[0]
        for note in getattr(inner, "__notes__", ()):
            if isinstance(note, AttributeValidationNote):
                path += f".{_wire_name(error.cl, note.name)}"
            elif isinstance(note, IterableValidationNote):
                path += f"[{note.index!r}]"
        error = inner
    if isinstance(error, KeyError):
        return path, "this field"
    return path, str(error) if isinstance(error, _WrongTypeError) else "another form"
