"""A partition: what one task does, as plain data."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from attrs import frozen

from ...errors import ConfigurationError


@frozen(kw_only=True)
class PartitionSource:
    """A project, and where its key is to be found.

    Attributes:
        project: the project's id.
        key_env: the name of the environment variable that holds the key, on the machine
            that plans and on all that run.
        devices: ids of the devices; None for all that the project has when it is planned.
        base_url: the host; None is that of the planner's configuration.
    """

    project: str
    key_env: str = "IOTTLY_API_KEY"
    devices: tuple[str, ...] | None = None
    base_url: str | None = None


class PartitionInterval(NamedTuple):
    """A stretch of time of one device, in milliseconds since the epoch.

    Attributes:
        device_id: of the device.
        start: inclusive; None for the oldest there is.
        end: exclusive.
    """

    device_id: str
    start: int | None
    end: int


@frozen(kw_only=True)
class Partition:
    """A batch of windows of one key.

    Attributes:
        id: names it and its files; the same in each plan of the same work.
        project: whose devices.
        key_env: the name of the environment variable that holds the key.
        redis_env: the name of the one that holds the URL of the Redis through which all
            machines share the key's quota; None where they go by the server's headers alone.
        base_url: the host.
        type: "all", "userdefined" or "iottlyagent".
        concurrency: requests at once, at most.
        windows: by device, then by time.
    """

    id: str
    project: str
    key_env: str
    redis_env: str | None
    base_url: str
    type: str
    concurrency: int
    windows: tuple[PartitionInterval, ...]

    def to_json(self) -> str:
        """The partition as one line of JSON, for `from_json`."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Partition:
        """The partition that `to_json` wrote.

        Raises:
            ConfigurationError: it is not one.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (ValueError, RecursionError):
            pass
        raise ConfigurationError("this text is not a partition written by Partition.to_json()")


def named(number: int, **fields: Any) -> Partition:
    """A partition with an id that sorts by the plan's order, and that no other work has."""
    work = [fields[name] for name in ("project", "base_url", "type", "windows")]
    content = blake2b(msgspec.json.encode(work), digest_size=6).hexdigest()
    return Partition(id=f"{number:06d}-{content}", **fields)
