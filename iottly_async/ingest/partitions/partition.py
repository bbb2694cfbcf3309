"""A partition: the work of one task, as plain data.

A partition is trusted input: it says which environment variable goes to which host. What it
says is checked all the same, so that a text that was cut or mixed up is an error at once.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
from attrs import frozen

from ...codec import MESSAGE_TYPES, choice
from ...config import check_base_url, whole
from ...errors import ConfigurationError
from ...models.cursor import YEAR_1, YEAR_10000
from ...wire import segment
from .division import Division, Edges

# No separator and no dot: an id is the name of files.
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# Capital letters: a key that is given instead of its variable's name is then an error.
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,254}")


@frozen(kw_only=True)
class PartitionSource:
    """A project, and where its key is found.

    Attributes:
        project: the project's id.
        key_env: the name of the environment variable that holds the key, on the machine that
            plans and on the machines that run, in capital letters. Default "IOTTLY_API_KEY".
        devices: the ids of the devices; None is all devices that the project has when the
            plan is made.
        base_url: of the service; None is that of the planner's configuration.

    Raises:
        ConfigurationError: an id, a name or the URL is not acceptable.
    """

    project: str
    key_env: str = "IOTTLY_API_KEY"
    devices: tuple[str, ...] | None = None
    base_url: str | None = None

    def __attrs_post_init__(self) -> None:
        segment(self.project, name="project")
        check_variable(self.key_env, name="key_env")
        if self.base_url is not None:
            _check_url(self.base_url)


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
    """A batch of windows; all are of one device if `plan` has made it.

    Attributes:
        id: the name of the partition and of its files. It is made from the project, the
            device and the windows, and is the same in each plan that has them.
        project: the project's id.
        key_env: the name of the environment variable that holds the key, in capital letters.
        redis_env: the name of the environment variable that holds the URL of the Redis
            through which the machines share the key's quota. None if they share it through
            the server's headers alone.
        base_url: of the service.
        type: "all", "userdefined" or "iottlyagent".
        concurrency: requests at once, at most.
        windows: in order of the devices, then of time.
        division: how the plan divides time. It keeps the partitions of another plan out of
            the same folder. None, the default, is a partition of no plan.

    Raises:
        ConfigurationError: a value is not acceptable; the text names it.
    """

    id: str
    project: str
    key_env: str
    redis_env: str | None
    base_url: str
    type: str
    concurrency: int
    windows: tuple[PartitionInterval, ...]
    division: Division | None = None

    def __attrs_post_init__(self) -> None:
        check_id(self.id)
        segment(self.project, name="project")
        check_variable(self.key_env, name="key_env")
        if self.redis_env is not None:
            check_variable(self.redis_env, name="redis_env")
        _check_url(self.base_url)
        choice(self.type, MESSAGE_TYPES, name="type")
        whole(self.concurrency, name="concurrency", least=1, most=1000)
        _check_windows(self.windows)

    @property
    def work(self) -> tuple[str, str, tuple[PartitionInterval, ...]]:
        """What is fetched: the project, the type and the windows."""
        return self.project, self.type, self.windows

    def to_json(self) -> str:
        """The partition as one line of JSON.

        Returns:
            A text for `from_json`.
        """
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Partition:
        """Read a partition that `to_json` wrote.

        Take such texts only from where you would take a program: a partition names the
        variable of a key and the host that the key is sent to.

        Args:
            text: the text.

        Returns:
            The partition.

        Raises:
            ConfigurationError: the text is not a partition, or a value is not acceptable.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (ValueError, TypeError, RecursionError) as error:
            reason = str(error) or type(error).__name__
        raise ConfigurationError(
            f"this text is not a partition written by Partition.to_json(): {reason}"
        )


def windows_of(device_id: str, edges: Edges) -> tuple[PartitionInterval, ...]:
    """The windows of a device between `edges`."""
    return tuple(
        PartitionInterval(device_id, low, high) for low, high in pairwise(edges) if high is not None
    )


def id_of(project: str, type: str, device_id: str, edges: Edges) -> str:  # noqa: A002
    """The id of the partition with these windows: the same wherever and whenever it is made."""
    work = msgspec.json.encode([project, type, device_id, edges])
    return blake2b(work, digest_size=12).hexdigest()


def check_id(partition_id: object) -> None:
    """Check that files can be named after an id.

    Raises:
        ConfigurationError: it is anything but 1 to 100 letters, digits, ``_`` and ``-``.
    """
    if not isinstance(partition_id, str) or not _ID.fullmatch(partition_id):
        raise ConfigurationError(
            "id must be 1 to 100 letters, digits, _ and -, as plan() makes it, "
            f"not {repr(partition_id)[:120]}"
        )


def check_variable(variable: object, *, name: str) -> None:
    """Check the name of an environment variable. It is not shown: it may be a key by mistake.

    Raises:
        ConfigurationError: it is anything but capital letters, digits and ``_``.
    """
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        raise ConfigurationError(
            f"{name} must be the name of an environment variable, in capital letters, such as "
            "IOTTLY_API_KEY; it is not the value itself"
        )


def _check_url(url: object) -> None:
    # Whether http is accepted is a setting of the machine that sends the key.
    check_base_url(url, allow_plain_http=True)


def _check_windows(windows: tuple[PartitionInterval, ...]) -> None:
    last: PartitionInterval | None = None
    for window in windows:
        device_id, start, end = window
        if last is None or last.device_id != device_id:
            segment(device_id, name="windows: the device's id")
        low = YEAR_1 if start is None else start
        if not YEAR_1 <= low < end <= YEAR_10000:
            raise ConfigurationError(f"windows must begin before they end, not {start} to {end}")
        if last is not None and (last.device_id, last.end) > (device_id, low):
            raise ConfigurationError("windows must be in order of devices and time, and disjoint")
        last = window
