"""A device of a project (generation v1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ._values import OpenEnum


class OperatingStatus(OpenEnum):
    """Whether a device's agent is connected."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


@frozen(kw_only=True)
class Device:
    """Properties of one device (v1.0, "Device Properties").

    Attributes:
        id: the device's unique id.
        name: the name a user gave it.
        mac_address: as the service writes it.
        operating_status: connected, disconnected, or a value the documents do not name.
        token: token of the licence it is paired with.
        agent_version: version of the agent on it.
        extra: what the documents do not name, by its name on the wire; some servers
            add ``installing``, ``pair_code``, ``fwsyncstatus``, ``deploymentgroup``.

    A field other than `id` is None where the service gives none.
    """

    id: str
    name: str | None = None
    mac_address: str | None = None
    operating_status: OperatingStatus | None = None
    token: str | None = None
    agent_version: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
