"""Describes how an answer is written: names of fields and forms of values, never values. Pure.

The decoders accept many forms and say nothing about them. This file says in which form a
service writes, so that it can be compared with the documents (D5, D7, D8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from attrs import field, frozen

from ..errors import DecodeError
from ..times import read_time
from .values import BOM, read_object

AnswerKind = Literal["page", "history", "devices", "fleet"]

DOCUMENTED_TIMES: Final[Mapping[AnswerKind, frozenset[str]]] = {
    "page": frozenset({"ISO without a zone, 3 digits", "ISO without a zone, whole seconds"}),
    "history": frozenset({"$date with ISO and Z, 3 digits", "$date with ISO and Z, whole seconds"}),
    "devices": frozenset(),
    "fleet": frozenset({"ISO and Z, whole seconds", "ISO and Z, 3 digits"}),
}
"""The forms of times that the documents show, in the words of `AnswerForms.times`."""

_ISO: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?P<gap>[T ])\d\d:\d\d:\d\d(?:\.(?P<digits>\d+))?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)


@frozen(kw_only=True)
class _RowSpec:
    """What the documents say about the rows of an answer.

    Attributes:
        rows: the name of the list.
        names: of the fields that each row has.
        optional: names of fields that a row may have.
        times: of these, those that are times.
        texts: of these, those that are texts.
        choices: of these, those that have one of a few values.
        nullable: of these, those that are null where there is nothing to say.
        wholes: paths to whole numbers beside the rows.
    """

    rows: str
    names: tuple[str, ...]
    optional: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    choices: Mapping[str, frozenset[str]] = field(factory=dict)
    nullable: frozenset[str] = frozenset()
    wholes: tuple[tuple[str, ...], ...] = ()


_MESSAGE: Final = ("from", "to", "timestamp", "devicetimestamp", "type", "payload")
_MESSAGE_TIMES: Final = ("timestamp", "devicetimestamp")
_MESSAGE_CHOICES: Final = {"type": frozenset({"userdefined", "iottlyagent"})}
_SPECS: Final[Mapping[AnswerKind, _RowSpec]] = {
    "page": _RowSpec(
        rows="messages",
        names=_MESSAGE,
        optional=("channel",),
        times=_MESSAGE_TIMES,
        texts=("from", "to", "type", "channel"),
        choices=_MESSAGE_CHOICES,
    ),
    "history": _RowSpec(
        rows="messages",
        names=(*_MESSAGE, "_id"),
        optional=("channel",),
        times=_MESSAGE_TIMES,
        texts=("from", "to", "type", "channel"),
        choices=_MESSAGE_CHOICES,
        wholes=(("status",),),
    ),
    "devices": _RowSpec(
        rows="devices",
        names=("macaddress", "name", "operatingstatus", "token", "agent_version", "ID"),
        texts=("macaddress", "name", "operatingstatus", "token", "agent_version", "ID"),
        choices={"operatingstatus": frozenset({"connected", "disconnected"})},
        wholes=(("count",),),
    ),
    "fleet": _RowSpec(
        rows="data",
        names=("id", "name", "project_id", "status", "last_seen_at"),
        times=("last_seen_at",),
        texts=("id", "name", "project_id", "status"),
        choices={"status": frozenset({"online", "offline"})},
        nullable=frozenset({"last_seen_at"}),
        wholes=(("meta", "total"), ("meta", "page"), ("meta", "per_page")),
    ),
}


@frozen(kw_only=True)
class AnswerForms:
    """How an answer is written.

    Attributes:
        rows: number of its rows.
        times: the forms of its times, sorted.
        unnamed: fields that the documents do not name, sorted.
        missing: documented fields that no row has, sorted.
        null: documented fields that are null in every row that has them, sorted.
        unreadable: fields with a value that cannot be read in at least one row, sorted.
        unknown_values: fields with a value that the documents do not name, sorted.
        plain_ids: whether the history's ``_id`` is a text and not an object.
        other_case: whether the device's id is written in another case than it was asked for.
        floats: whether whole numbers are written as floats.
        byte_order_mark: whether one stands before the JSON.
    """

    rows: int
    times: tuple[str, ...]
    unnamed: tuple[str, ...]
    missing: tuple[str, ...]
    null: tuple[str, ...]
    unreadable: tuple[str, ...]
    unknown_values: tuple[str, ...]
    plain_ids: bool
    other_case: bool
    floats: bool
    byte_order_mark: bool


def describe_answer(body: bytes, kind: AnswerKind, *, device_id: str = "") -> AnswerForms | None:
    """Describe how an answer is written.

    Args:
        body: of the answer.
        kind: which call it answers.
        device_id: the device that was asked for; "", the default, if none was.

    Returns:
        The description; None if the body is not JSON of the documented shape throughout.
    """
    spec = _SPECS[kind]
    try:
        answer = read_object(body)
    except DecodeError:
        return None
    rows = answer.get(spec.rows)
    if type(rows) is not list or not all(type(row) is dict for row in rows):
        return None
    known = {*spec.names, *spec.optional}
    present = {name for row in rows for name in row}
    valued = {name for row in rows for name, value in row.items() if value is not None}
    times = [row[name] for row in rows for name in spec.times if row.get(name) is not None]
    return AnswerForms(
        rows=len(rows),
        times=_sorted(form for form in map(time_form, times) if form is not None),
        unnamed=_sorted(present - known),
        missing=_sorted(set(spec.names) - present) if rows else (),
        null=_sorted((present & known) - valued - spec.nullable),
        unreadable=_sorted(name for name in known if _unreadable(rows, name, spec)),
        unknown_values=_sorted(name for name in spec.choices if _unknown(rows, name, spec)),
        plain_ids=any(type(row.get("_id")) is str for row in rows),
        other_case=any(_in_other_case(row.get("from"), device_id) for row in rows),
        floats=any(type(_at(answer, path)) is float for path in spec.wholes)
        or any(type(time) is float for time in times if time_form(time) is not None),
        byte_order_mark=body.startswith(BOM),
    )


def time_form(value: Any) -> str | None:
    """Name the form of a time, such as "ISO without a zone, 3 digits"; None if it is no time."""
    try:
        read_time(value, "$")
    except DecodeError:
        return None
    if type(value) is dict:
        inner = next(iter(value.values()))
        if type(inner) is dict:
            return "$date with $numberLong"
        return f"$date with {_plain_form(inner)}"
    return _plain_form(value)


def _plain_form(value: Any) -> str:
    if type(value) is not str:
        return "epoch milliseconds"
    match = _ISO.fullmatch(value)
    if match is None:
        return "another form of ISO"
    zone = match["zone"]
    kind = "ISO without a zone" if zone is None else "ISO and Z" if zone == "Z" else "ISO and "
    kind += "an offset" if zone not in (None, "Z") else ""
    gap = ", a space for the T" if match["gap"] == " " else ""
    digits = match["digits"]
    return f"{kind}{gap}, {'whole seconds' if digits is None else f'{len(digits)} digits'}"


def _unreadable(rows: Iterable[Mapping[str, Any]], name: str, spec: _RowSpec) -> bool:
    values = [row[name] for row in rows if row.get(name) is not None]
    if name in spec.times:
        return any(time_form(value) is None for value in values)
    return name in spec.texts and any(type(value) is not str for value in values)


def _unknown(rows: Iterable[Mapping[str, Any]], name: str, spec: _RowSpec) -> bool:
    values = [row[name] for row in rows if type(row.get(name)) is str]
    return any(value not in spec.choices[name] for value in values)


def _in_other_case(value: Any, device_id: str) -> bool:
    return type(value) is str and value != device_id and value.casefold() == device_id.casefold()


def _at(answer: Any, path: Iterable[str]) -> Any:
    for name in path:
        answer = answer.get(name) if type(answer) is dict else None
    return answer


def _sorted(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(texts)))
