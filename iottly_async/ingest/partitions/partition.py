"""A partition: the work of one task, as plain data."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from attrs import frozen

from ...errors import ConfigurationError


@frozen(kw_only=True)
class PartitionSource:
    """A project, and where its key is found.

    Attributes:
        project: the project's id.
        key_env: the name of the environment variable that holds the key, on the machine that
            plans and on the machines that run. Default "IOTTLY_API_KEY".
        devices: the ids of the devices; None is all devices that the project has when the
            plan is made.
        base_url: of the service; None is that of the planner's configuration.
    """

    project: str
    key_env: str = "IOTTLY_API_KEY"
    devices: tuple[str, ...] | None = None
    base_url: str | None = None


class PartitionInterval(NamedTuple):
    """A window: a device and an interval of time, in milliseconds since the epoch.

    Attributes:
        device_id: the device's id.
        start: inclusive; None is the oldest message.
        end: exclusive.
    """

    device_id: str
    start: int | None
    end: int


@frozen(kw_only=True)
class Partition:
    """A batch of windows of one key.

    Attributes:
        id: the name of the partition and of its files; the same in each plan of the same
            work.
        project: the project's id.
        key_env: the name of the environment variable that holds the key.
        redis_env: the name of the environment variable that holds the URL of the Redis
            through which the machines share the key's quota. None if they share it through
            the server's headers alone.
        base_url: of the service.
        type: "all", "userdefined" or "iottlyagent".
        concurrency: requests at once, at most.
        windows: in order of the devices, then of time.
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
        """The partition as one line of JSON.

        Returns:
            A text for `from_json`.
        """
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Partition:
        """Read a partition that `to_json` wrote.

        Args:
            text: the text.

        Returns:
            The partition.

        Raises:
            ConfigurationError: the text is not a partition.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (ValueError, RecursionError):
            pass
        raise ConfigurationError("this text is not a partition written by Partition.to_json()")


def named(number: int, **fields: Any) -> Partition:
    """A partition with an id that sorts in the plan's order and that no other work has."""
    work = [fields[name] for name in ("project", "base_url", "type", "windows")]
    content = blake2b(msgspec.json.encode(work), digest_size=6).hexdigest()
    return Partition(id=f"{number:06d}-{content}", **fields)
