"""Reads the body of each call's answer into its model."""

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
from .converter import make_converter, structure
from .values import BOM, read_json, read_object

T = TypeVar("T")


@cache
def _converter() -> Converter:
    """The converter that all sessions share: it takes 6 ms to create, and is not changed."""
    return make_converter()


class Answers:
    """Reads the bodies of all answers except messages.

    Each method raises `DecodeError` if the body does not have the documented form.
    """

    __slots__ = ("_converter",)

    def __init__(self) -> None:
        self._converter = _converter()

    def _model(self, value: Any, kind: type[T], path: str = "$") -> T:
        return structure(self._converter, value, kind, path)

    def ping(self, body: bytes) -> None:
        """Check the answer to a ping, `{"status": "pong"}`."""
        if read_object(body).get("status") != "pong":
            raise DecodeError('expected "pong"', path="$.status")

    def project(self, body: bytes, project_id: str | None = None) -> ProjectInfo:
        """Read a project (v1.0, "Project Inspection"); `project_id` is the requested one."""
        project = self._model(read_json(body), ProjectInfo)
        _check_id(project.id, project_id, "$.id")
        return project

    def licenses(self, body: bytes) -> list[License]:
        """Read licences from an object keyed by token (v1.0, "License Inspection")."""
        return [
            self._license(token, entry, f"$.{token}") for token, entry in read_object(body).items()
        ]

    def license(self, body: bytes, token: str) -> License:
        """Read the requested licence from an object keyed by token."""
        entries = read_object(body)
        found = (
            token if token in entries else next((e for e in entries if _same_id(e, token)), None)
        )
        if found is None:
            raise DecodeError("expected the requested licence", path="$")
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
        """Read a project's devices (v1.0, "List all devices")."""
        return self._list(read_object(body), "devices", Device)

    def device(self, body: bytes, device_id: str | None = None) -> Device:
        """Read a device (v1.0, "Single device"); `device_id` is the requested one."""
        device = self._model(read_json(body), Device)
        _check_id(device.id, device_id, "$.ID")
        return device

    def fleet_page(self, body: bytes, number: int, per_page: int) -> FleetDevicePage:
        """Read a page of devices (v1, "List devices").

        `number` and `per_page` are the requested ones; they are used if the answer has none.
        """
        answer = read_object(body)
        meta = answer.get("meta")
        if type(meta) is not dict:
            raise DecodeError("expected an object", path="$.meta")
        given = {name: value for name, value in meta.items() if value is not None}
        given = {"page": number, "per_page": per_page} | given
        total, number, per_page = (
            self._model(given.get(name), int, f"$.meta.{name}")
            for name in ("total", "page", "per_page")
        )
        devices = self._list(answer, "data", FleetDevice)
        return FleetDevicePage(
            devices=tuple(devices), total=total, number=number, per_page=per_page
        )

    def fleet_device(self, body: bytes, device_id: str) -> FleetDevice:
        """Read a device (v1, "Get a single device"); `device_id` is the requested one."""
        device = self._model(read_json(body), FleetDevice)
        _check_id(device.id, device_id, "$.id")
        return device

    def command(self, body: bytes) -> Command:
        """Read an accepted command (v1, "Send a command")."""
        return self._model(read_json(body), Command)

    def command_result(self, body: bytes, command_id: str) -> CommandResult:
        """Read a command's state (v1, "Get command result"); `command_id` is the requested one."""
        result = self._model(read_json(body), CommandResult)
        _check_id(result.id, command_id, "$.command_id")
        return result

    def project_command(self, body: bytes) -> None:
        """Check the answer to a project command (v1.0, "Command API").

        Its content is not documented, so anything but a page, broken JSON, bytes that are no
        text, and an error is accepted (D16).
        """
        text = body.removeprefix(BOM).strip()
        if text[:1] in (b"{", b"["):
            error = read_json(text)
            if isinstance(error, dict) and error.get("error"):
                raise DecodeError("expected no error", path="$.error")
        elif text[:1] == b"<" or not _is_text(text):
            raise DecodeError("expected JSON or a text, not a page", path="$")

    def _list(self, answer: dict[str, Any], name: str, kind: type[T]) -> list[T]:
        entries = answer.get(name)
        if type(entries) is not list:
            raise DecodeError("expected an array", path=f"$.{name}")
        return [
            self._model(entry, kind, f"$.{name}[{index}]") for index, entry in enumerate(entries)
        ]


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable() or not data
    except UnicodeDecodeError:
        return False


def _check_id(found: str, requested: str | None, path: str) -> None:
    # A proxy that mixes up connections may return the answer to another request.
    if requested is not None and not _same_id(found, requested):
        raise DecodeError("expected the requested id", path=path)


def _same_id(one: str, other: str) -> bool:
    # UUIDs and hexadecimal ids mean the same in upper and lower case.
    return one.casefold() == other.casefold()


def read_error(body: bytes) -> tuple[str | None, str | None, str | None] | None:
    """Read an error answer in the form of either generation.

    Returns:
        Its text, code and request id, each None if it is missing. None if the body is not
        the API's own: a proxy's page, or empty.
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
