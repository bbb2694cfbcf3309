"""A device of the fleet API (generation v1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from ._model import Model
from ._values import OpenEnum


class FleetStatus(OpenEnum):
    """Whether a device of the fleet API is reachable."""

    ONLINE = "online"
    OFFLINE = "offline"


@frozen(kw_only=True)
class FleetDevice(Model):
    """A device of the fleet API (v1, "List devices").

    Attributes:
        id: such as "dev_01j3k".
        name: given by a user; None if the service gives none.
        project_id: of the project it belongs to; None if the service gives none.
        status: online, offline, or a value that the documents do not name; None if the
            service gives none.
        last_seen_at: aware, UTC; None if the device was never seen.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8).
    """

    id: str
    name: str | None = None
    project_id: str | None = None
    status: FleetStatus | None = None
    last_seen_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class FleetDevicePage(Model):
    """One page of devices (v1, "List devices").

    Attributes:
        devices: the page's devices, in the service's order.
        total: number of devices on all pages.
        number: of this page, from 1.
        per_page: devices a page.
    """

    devices: tuple[FleetDevice, ...]
    total: int
    number: int
    per_page: int
