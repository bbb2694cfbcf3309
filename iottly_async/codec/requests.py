"""Arguments into what is sent: bodies and query parameters, checked before a byte leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Final

from ..config import TimestampFormat, whole
from ..errors import ConfigurationError
from ..models._time import epoch_ms
from ..times import aware, write_time

_DEEPEST: Final = 100
_LONGEST_INT: Final = 1024  # bits, as a float's range; Python itself writes only so many digits
MESSAGE_TYPES: Final = ("all", "userdefined", "iottlyagent")
ORDERS: Final = ("asc", "desc")


def encode_rename(name: str) -> bytes:
    """Body of the call that renames a device (v1.0, "Edit device name").

    Raises:
        ConfigurationError: the name is empty or not a text.
    """
    return _dump({"name": _text(name, "name")})


def encode_command(cmd_type: str, values: Mapping[str, Any]) -> bytes:
    """Body of a project command; keys get their ``<cmd_type>.`` prefix unless they have it.

    Raises:
        ConfigurationError: an empty name, two keys that become one, or a value that
            JSON cannot hold (v1.0, "Command API").
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
    """Body of a fleet command; `timeout` in seconds (v1, "Send a command").

    Raises:
        ConfigurationError: the command is empty or not a text.
    """
    seconds = int(timeout) if float(timeout).is_integer() else timeout
    return _dump({"command": _text(command, "command"), "timeout_s": seconds})


def history_query(limit: int, query: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Query parameters of the history (v1.0, "Message History").

    Raises:
        ConfigurationError: `limit` outside 1..100, or a filter that is no mapping of JSON.
    """
    parameters = [("numMessages", str(whole(limit, name="limit", least=1, most=100)))]
    if query is not None:
        if not isinstance(query, Mapping):
            raise ConfigurationError(
                f"query must be a mapping, a MongoDB filter, not {type(query).__name__}"
            )
        parameters.append(("queryJson", _dump(json_value(query, "query", times=True)).decode()))
    return parameters


def tie_filter(
    at: int,
    *,
    type: str,  # noqa: A002 - the parameter's own name
    after_id: str | None,
    before_id: str | None,
) -> dict[str, Any]:
    """The filter of some of one millisecond's messages, by their ids (v1.0, "Message History").

    `at` is in epoch milliseconds; the ids are exclusive bounds, None where open.
    """
    stamp = {"$gte": _date(at), "$lt": _date(at + 1)}
    wanted: dict[str, Any] = {"timestamp": stamp}
    if type != "all":
        wanted["type"] = type
    ids = {"$gt": after_id, "$lt": before_id}
    between = {operator: {"$oid": id_} for operator, id_ in ids.items() if id_ is not None}
    if between:
        wanted["_id"] = between
    return wanted


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
    """Query of a page, as it stands in the URL (v1.0, "Paginated Messages").

    `number` is the wire's own page number, None for the first page (D3); `type` and
    `order` are checked; `start` and `end` are epoch milliseconds, None where open.
    """
    # A text at once, for a walk needs one a page; none of its parts has to be quoted.
    page = "" if number is None else f"p={number}&"
    since = "" if start is None else f"&from={write_time(start, form)}"
    until = "" if end is None else f"&to={write_time(end, form)}"
    return f"{page}l={size}&type={type}{since}{until}&sort={order}"


def fleet_query(number: int, per_page: int) -> list[tuple[str, str]]:
    """Query parameters of a page of the fleet (v1, "List devices").

    Raises:
        ConfigurationError: a number below 1, or more than 100 a page.
    """
    return [
        ("page", str(whole(number, name="number", least=1))),
        ("per_page", str(whole(per_page, name="per_page", least=1, most=100))),
    ]


def choice(value: object, accepted: Sequence[str], *, name: str) -> str:
    """`value`, one of the accepted words.

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
    """`value` as plain JSON values, or an error that says which part of it JSON cannot hold.

    Args:
        value: what the caller gave.
        name: the argument, and the way within it, for the error's text.
        times: whether aware datetimes are written as MongoDB's ``{"$date": …}``.
        depth: how deep `value` lies.

    Raises:
        ConfigurationError: a NaN, a key that is no text, a naive time, any other type.
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
