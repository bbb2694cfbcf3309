"""Checks arguments, and writes them as bodies and query parameters of requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Final, cast

from ..config import TimestampFormat, whole
from ..errors import ConfigurationError
from ..models._time import epoch_ms
from ..times import aware, write_time
from .history_filter import refuse_addresses

_DEEPEST: Final = 100
_LONGEST_INT: Final = 1024  # bits, the range of a float; Python limits the digits it writes
MESSAGE_TYPES: Final = ("all", "userdefined", "iottlyagent")
ORDERS: Final = ("asc", "desc")


def encode_rename(name: str) -> bytes:
    """Write the body that renames a device (v1.0, "Edit device name").

    Raises:
        ConfigurationError: the name is empty or not a text.
    """
    return _dump({"name": _text(name, "name")})


def encode_command(cmd_type: str, values: Mapping[str, Any]) -> bytes:
    """Write the body of a project command (v1.0, "Command API").

    Keys without the prefix ``<cmd_type>.`` get it.

    Raises:
        ConfigurationError: a name is empty, two keys become the same, or JSON cannot hold a
            value.
    """
    prefix = f"{_text(cmd_type, 'cmd_type')}."
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"values must be a mapping, not {type(values).__name__}")
    prefixed: dict[str, Any] = {}
    for name, value in values.items():
        key = _text(name, "a key of values")
        key = key if key.startswith(prefix) else prefix + key
        if key in prefixed:
            raise ConfigurationError(f"values has {key!r} twice, with and without its prefix")
        prefixed[key] = json_value(value, f"values[{name!r}]")
    return _dump({"cmd_type": cmd_type, "values": prefixed})


def encode_fleet_command(command: str, timeout: float) -> bytes:
    """Write the body of a fleet command; `timeout` is in seconds (v1, "Send a command").

    Raises:
        ConfigurationError: the command is empty or not a text.
    """
    seconds = int(timeout) if float(timeout).is_integer() else timeout
    return _dump({"command": _text(command, "command"), "timeout_s": seconds})


def history_query(limit: int, query: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Write the query parameters of the history (v1.0, "Message History").

    Args:
        limit: messages at most.
        query: of `history_filter` or `tie_filter`; None filters nothing.

    Raises:
        ConfigurationError: `limit` is not 1 to 100.
    """
    parameters = [("numMessages", str(whole(limit, name="limit", least=1, most=100)))]
    if query is not None:
        parameters.append(("queryJson", _dump(query).decode()))
    return parameters


def history_filter(query: object) -> dict[str, Any] | None:
    """Check a caller's filter of the history; None filters nothing.

    Returns:
        The filter in JSON's own values; aware datetimes are ``{"$date": …}``.

    Raises:
        ConfigurationError: it is not a mapping that JSON can hold, or has `from` or `to`.
    """
    if query is None:
        return None
    if not isinstance(query, Mapping):
        raise ConfigurationError(
            f"query must be a mapping, a MongoDB filter, not {type(query).__name__}"
        )
    refuse_addresses(query)
    return cast(dict[str, Any], json_value(query, "query", times=True))


def tie_filter(
    at: int,
    *,
    type: str,  # noqa: A002 - the parameter's own name
    after_id: str | None,
    before_id: str | None,
) -> dict[str, Any]:
    """Write the filter for messages of one millisecond, by id (v1.0, "Message History").

    Args:
        at: the millisecond, since the epoch.
        type: of the messages; "all" filters none.
        after_id: exclusive; None is open.
        before_id: exclusive; None is open.
    """
    stamp = {"$gte": _date(at), "$lt": _date(at + 1)}
    query: dict[str, Any] = {"timestamp": stamp}
    if type != "all":
        query["type"] = type
    ids = {"$gt": after_id, "$lt": before_id}
    between = {operator: {"$oid": id_} for operator, id_ in ids.items() if id_ is not None}
    if between:
        query["_id"] = between
    return query


def _date(ms: int) -> dict[str, str]:
    return {"$date": write_time(ms, "iso-z")}


def page_query(
    *,
    number: int | None,
    size: int,
    start: int | None,
    end: int | None,
    type: str,  # noqa: A002 - the parameter's own name
    order: str,
    form: TimestampFormat,
) -> str:
    """Write the query of a page as it stands in the URL (v1.0, "Paginated Messages").

    Args:
        number: of the page on the wire; None requests the first page (D3).
        size: messages a page.
        start: milliseconds since the epoch, inclusive; None is open.
        end: milliseconds since the epoch, exclusive; None is open.
        type: of the messages, checked.
        order: checked.
        form: in which times are written (D2).
    """
    # Each page of a walk needs one, so it is formatted at once. No part needs quoting.
    page = "" if number is None else f"p={number}&"
    since = "" if start is None else f"&from={write_time(start, form)}"
    until = "" if end is None else f"&to={write_time(end, form)}"
    return f"{page}l={size}&type={type}{since}{until}&sort={order}"


def fleet_query(number: int, per_page: int) -> list[tuple[str, str]]:
    """Write the query parameters of a page of the fleet (v1, "List devices").

    Raises:
        ConfigurationError: `number` is below 1, or `per_page` is not 1 to 100.
    """
    return [
        ("page", str(whole(number, name="number", least=1))),
        ("per_page", str(whole(per_page, name="per_page", least=1, most=100))),
    ]


def choice(value: object, accepted: Sequence[str], *, name: str) -> str:
    """Check that `value` is one of the accepted words, and return it.

    Raises:
        ConfigurationError: it is none of them.
    """
    if not isinstance(value, str) or value not in accepted:
        raise ConfigurationError(f"{name} must be one of {', '.join(accepted)}, not {value!r}")
    return str(value)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} must be a text that is not empty, not {value!r}")
    return _encodable(value, name)


def _encodable(value: str, name: str) -> str:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigurationError(f"{name} has half a surrogate pair, which UTF-8 cannot hold")
    return value


def json_value(value: Any, name: str, *, times: bool = False, depth: int = 0) -> Any:
    """Convert `value` to plain JSON values.

    Args:
        value: what the caller passed.
        name: of the argument, and the path within it, for the error's text.
        times: whether aware datetimes are written as MongoDB's ``{"$date": …}``. Default
            False: they are refused.
        depth: how deeply `value` is nested. Default 0.

    Raises:
        ConfigurationError: JSON cannot hold a part of it: a NaN, a key that is not a text,
            a naive time, or another type. The text names the part.
    """
    if depth > _DEEPEST:
        raise ConfigurationError(f"{name} is nested more than {_DEEPEST} deep, or holds itself")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > _LONGEST_INT:
            raise ConfigurationError(f"{name} is beyond the numbers that readers of JSON hold")
        return value
    if isinstance(value, str):
        return _encodable(value, name)
    if isinstance(value, float):
        if not isfinite(value):
            raise ConfigurationError(f"{name} is {value!r}, which JSON cannot hold")
        return value
    if isinstance(value, Mapping):
        return {
            _key(key, name): json_value(member, f"{name}[{key!r}]", times=times, depth=depth + 1)
            for key, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            json_value(member, f"{name}[{index}]", times=times, depth=depth + 1)
            for index, member in enumerate(value)
        ]
    if times and isinstance(value, datetime):
        return _date(epoch_ms(aware(value, name=name)))
    accepted = "text, number, true, false, None, mapping or list"
    raise ConfigurationError(f"{name} is a {type(value).__name__}; JSON takes {accepted}")


def _key(key: object, name: str) -> str:
    if not isinstance(key, str):
        raise ConfigurationError(f"{name} has the key {key!r}; the keys of JSON are texts")
    return _encodable(key, f"a key of {name}")


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
