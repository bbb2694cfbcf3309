"""The devices of a store: what the project's list says of each, and when it was seen.

A database has a view of them (`duckdb.schema`, `postgres.schema`). Stores in files have a file of
them, which is replaced as a whole when a job begins, when it ends, and each minute while it
follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from ...models import Device
from ...models._time import from_epoch_ms
from .appendfile import reading


class ListedDevice(msgspec.Struct, frozen=True):
    """What the project's list of devices says of a device. A licence token is no part of it.

    Attributes:
        device_id: the device's id.
        name: given by a user; None if the service gives none.
        status: "connected", "disconnected" or another text, when the device was last listed;
            None if the service gives none.
        agent_version: version of the agent on the device; None if the service gives none.
    """

    device_id: str
    name: str | None = None
    status: str | None = None
    agent_version: str | None = None

    @classmethod
    def of(cls, device: Device) -> ListedDevice:
        """Make it of a device of the project's list.

        Args:
            device: as the service lists it.

        Returns:
            What stores keep of it.
        """
        return cls(device.id, device.name, device.operating_status, device.agent_version)


class StoredDevice(msgspec.Struct, frozen=True):
    """A device of a store in files.

    Attributes:
        device_id: as in `ListedDevice`.
        name: as in `ListedDevice`.
        status: as in `ListedDevice`.
        agent_version: as in `ListedDevice`.
        first_seen: the time of its oldest message; None without one, or if an earlier version
            has begun the store.
        last_seen: the time of its newest message; None without one.
    """

    device_id: str
    name: str | None = None
    status: str | None = None
    agent_version: str | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None


class _Seen(msgspec.Struct):
    """What a cursor says of when its device was seen, in milliseconds since the epoch."""

    oldest: int | None = None
    newest: int | None = None


_seen_of: Final = msgspec.json.Decoder(_Seen).decode


def read_devices(path: str, decode: Callable[[bytes], list[StoredDevice]]) -> list[StoredDevice]:
    """Read a file of devices.

    Args:
        path: the file's path.
        decode: makes devices of its content; raises `ValueError` if it is something else.

    Returns:
        The devices; empty if there is no such file.

    Raises:
        ConfigurationError: the file is of something else.
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    with reading(path):
        return decode(data)


def stored_devices(
    listed: Mapping[str, ListedDevice],
    before: Iterable[StoredDevice],
    cursors: Mapping[str, str],
) -> list[StoredDevice]:
    """The devices of a store in files, in order of their ids.

    Args:
        listed: what the project has listed in this run, by device id.
        before: the devices that the store had before.
        cursors: `Cursor.to_json` texts by device id.

    Returns:
        One of each device that was listed, now or before, or has a cursor.
    """
    known: dict[str, ListedDevice | StoredDevice] = {one.device_id: one for one in before}
    known |= listed
    devices = []
    for device_id in sorted({*known, *cursors}):
        one = known.get(device_id) or ListedDevice(device_id)
        seen = _seen_of(cursors[device_id]) if device_id in cursors else _Seen()
        devices.append(
            StoredDevice(
                device_id,
                one.name,
                one.status,
                one.agent_version,
                None if seen.oldest is None else from_epoch_ms(seen.oldest),
                None if seen.newest is None else from_epoch_ms(seen.newest),
            )
        )
    return devices
