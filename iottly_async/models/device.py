"""A device of a project (generation v1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ._model import Model
from ._values import OpenEnum


class OperatingStatus(OpenEnum):
    """Whether a device's agent is connected."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


@frozen(kw_only=True)
class Device(Model):
    """The properties of one device (v1.0, "Device Properties").

    Attributes:
        id: the device's unique id.
        name: given by a user; None if the service gives none.
        mac_address: as the service writes it; None if the service gives none.
        operating_status: connected, disconnected, or a value that the documents do not
            name; None if the service gives none.
        token: of the licence that the device is paired with; None if the service gives none.
        agent_version: version of the agent on the device; None if the service gives none.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8). Some servers add ``installing``,
            ``pair_code``, ``fwsyncstatus``, ``deploymentgroup``.
    """

    id: str
    name: str | None = None
    mac_address: str | None = None
    operating_status: OperatingStatus | None = None
    token: str | None = None
    agent_version: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
