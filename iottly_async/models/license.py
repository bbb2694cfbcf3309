"""A licence of a project, and the board that it is paired with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ._model import Model
from ._values import OpenEnum
from .device import OperatingStatus


class LicenseStatus(OpenEnum):
    """Whether a licence is in use."""

    PAIRED = "paired"
    AVAILABLE = "available"


@frozen(kw_only=True)
class Board(Model):
    """The device that a licence is paired with (v1.0, "License Inspection").

    Attributes:
        id: the device's unique id.
        name: given by a user; None if the service gives none.
        mac_address: as the service writes it; None if the service gives none.
        operating_status: connected, disconnected, or a value that the documents do not
            name; None if the service gives none.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8).
    """

    id: str
    name: str | None = None
    mac_address: str | None = None
    operating_status: OperatingStatus | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class License(Model):
    """One licence of a project (v1.0, "License Inspection").

    Attributes:
        token: the licence's token.
        status: paired, available, or a value that the documents do not name.
        board: the paired device; None if the licence is available.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8).
    """

    token: str
    status: LicenseStatus
    board: Board | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
