"""The answer of each call: which part of it is the model, and by which name."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from cattrs import Converter

from ..errors import DecodeError
from ..models import (
    Command,
    CommandResult,
    Device,
    FleetDevice,
    FleetDevicePage,
    License,
    ProjectInfo,
)
from .models import make_converter, structure
from .values import read_json, read_object

T = TypeVar("T")


@cache
def _converter() -> Converter:
    """One for all sessions: it takes 6 ms to make, and nothing changes it afterwards."""
    return make_converter()


class Answers:
    """Reads the body of every answer but the messages'.

    Each method raises `DecodeError` where the body does not have the documented form.
    """

    __slots__ = ("_converter",)

    def __init__(self) -> None:
        self._converter = _converter()

    def _model(self, value: Any, kind: type[T], path: str = "$") -> T:
        return structure(self._converter, value, kind, path)

    def ping(self, body: bytes) -> None:
        """`{"status": "pong"}`."""
        if read_object(body).get("status") != "pong":
            raise DecodeError('expected "pong"', path="$.status")

    def project(self, body: bytes, project_id: str | None = None) -> ProjectInfo:
        """v1.0, "Project Inspection"; `project_id` is the one asked for."""
        project = self._model(read_json(body), ProjectInfo)
        _same(project.id, project_id, "$.id")
        return project

    def licenses(self, body: bytes) -> list[License]:
        """v1.0, "License Inspection": an object keyed by licence token."""
        return [
            self._license(token, entry, f"$.{token}") for token, entry in read_object(body).items()
        ]

    def license(self, body: bytes, token: str) -> License:
        """The one licence asked for, within an object keyed by token."""
        entries = read_object(body)
        found = token if token in entries else next((e for e in entries if _alike(e, token)), None)
        if found is None:
            raise DecodeError("expected the licence that was asked for", path="$")
        return self._license(found, entries[found], f"$.{found}")

    def _license(self, token: str, entry: Any, path: str) -> License:
        if type(entry) is not dict:
            raise DecodeError("expected an object", path=path)
        # An available licence has an empty object for its board.
        board = entry.get("board")
        return self._model(
            {**entry, "token": token, "board": None if board == {} else board}, License, path
        )

    def devices(self, body: bytes) -> list[Device]:
        """v1.0, "List all devices"."""
        return self._list(read_object(body), "devices", Device)

    def device(self, body: bytes, device_id: str | None = None) -> Device:
        """v1.0, "Single device"; `device_id` is the one asked for."""
        device = self._model(read_json(body), Device)
        _same(device.id, device_id, "$.ID")
        return device

    def fleet_page(self, body: bytes, number: int, per_page: int) -> FleetDevicePage:
        """v1, "List devices"; `number` and `per_page` are those asked for."""
        answer = read_object(body)
        meta = answer.get("meta")
        if type(meta) is not dict:
            raise DecodeError("expected an object", path="$.meta")
        told = {name: value for name, value in meta.items() if value is not None}
        told = {"page": number, "per_page": per_page} | told
        total, number, per_page = (
            self._model(told.get(name), int, f"$.meta.{name}")
            for name in ("total", "page", "per_page")
        )
        devices = self._list(answer, "data", FleetDevice)
        return FleetDevicePage(
            devices=tuple(devices), total=total, number=number, per_page=per_page
        )

    def fleet_device(self, body: bytes, device_id: str) -> FleetDevice:
        """v1, "Get a single device"; `device_id` is the one asked for."""
        device = self._model(read_json(body), FleetDevice)
        _same(device.id, device_id, "$.id")
        return device

    def command(self, body: bytes) -> Command:
        """v1, "Send a command"."""
        return self._model(read_json(body), Command)

    def command_result(self, body: bytes, command_id: str) -> CommandResult:
        """v1, "Get command result"; `command_id` is the one asked for."""
        result = self._model(read_json(body), CommandResult)
        _same(result.id, command_id, "$.command_id")
        return result

    def _list(self, answer: dict[str, Any], name: str, kind: type[T]) -> list[T]:
        entries = answer.get(name)
        if type(entries) is not list:
            raise DecodeError("expected an array", path=f"$.{name}")
        return [
            self._model(entry, kind, f"$.{name}[{index}]") for index, entry in enumerate(entries)
        ]


def _same(found: str, asked: str | None, path: str) -> None:
    # An answer that belongs to another question, as after a mix-up on a shared connection.
    if asked is not None and not _alike(found, asked):
        raise DecodeError("expected the id that was asked for", path=path)


def _alike(found: str, asked: str) -> bool:
    # UUIDs and hexadecimal ids are the same in either case, and services differ in theirs.
    return found.casefold() == asked.casefold()


def read_error(body: bytes) -> tuple[str | None, str | None, str | None] | None:
    """Text, code and request id of an error answer, in either generation's form.

    None where the body is not the API's own: a proxy's page, or nothing.
    """
    try:
        error = read_object(body).get("error")
    except DecodeError:
        return None
    if isinstance(error, str):
        return error, None, None
    if isinstance(error, dict):
        text, code, request_id = (
            value if isinstance(value := error.get(name), str) else None
            for name in ("message", "code", "request_id")
        )
        return text, code, request_id
    return None
