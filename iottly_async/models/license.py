"""A licence of a project and the board that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ._values import OpenEnum
from .device import OperatingStatus


class LicenseStatus(OpenEnum):
    """Whether a licence is in use."""

    PAIRED = "paired"
    AVAILABLE = "available"


@frozen(kw_only=True)
class Board:
    """The device that a licence is paired with (v1.0, "License Inspection").

    Attributes:
        id: the device's unique id.
        name, mac_address, operating_status: None where the service gives none.
        extra: fields that the documents do not name, by their names on the wire.
    """

    id: str
    name: str | None = None
    mac_address: str | None = None
    operating_status: OperatingStatus | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class License:
    """One licence token (v1.0, "License Inspection").

    Attributes:
        token: the licence's token.
        status: paired, available, or a value the documents do not name.
        board: the paired device; None where the licence is available.
        extra: fields that the documents do not name, by their names on the wire.
    """

    token: str
    status: LicenseStatus
    board: Board | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
