"""The options of a stream, checked once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from attrs import Attribute, field, frozen

from ..codec import MESSAGE_TYPES, choice
from ..config import Seconds, flag, seconds, whole
from ..errors import ConfigurationError
from ..resources.arguments import checked_ids
from ..times import aware
from .buffer import OVERFLOWS, Overflow
from .default_protocol import DefaultStreamProtocol
from .protocol import StreamProtocol, Subscription

_PROTOCOL: Final = (
    "address",
    "credential",
    "confirms_subscription",
    "opening",
    "command",
    "read",
    "final",
)


def _device_ids(devices: Iterable[str] | None) -> tuple[str, ...] | None:
    if devices is None:
        return None
    ids = tuple(checked_ids(devices, name="devices"))
    if not ids:
        raise ConfigurationError("devices is empty; None is all devices of the project")
    return ids


def _since(since: datetime | None) -> datetime | None:
    return None if since is None else aware(since, name="since")


def _protocol(protocol: StreamProtocol | None) -> StreamProtocol:
    chosen: StreamProtocol = DefaultStreamProtocol() if protocol is None else protocol
    missing = [name for name in _PROTOCOL if not hasattr(chosen, name)]
    if missing or isinstance(chosen, type):
        raise ConfigurationError(
            "protocol must be an object with the members of StreamProtocol"
            + (f"; it has no {', '.join(missing)}" if missing else "")
        )
    return chosen


def _message_type(type_: str) -> str:
    return choice(type_, MESSAGE_TYPES, name="type")


def _settle(settle: Seconds) -> float:
    return seconds(settle, name="settle", zero=True)


def _lookback(lookback: Seconds | None) -> float | None:
    return None if lookback is None else seconds(lookback, name="lookback", zero=True)


def _patience(patience: Seconds | None) -> float | None:
    return None if patience is None else seconds(patience, name="patience", zero=True, endless=True)


def _heartbeat(heartbeat: Seconds) -> float:
    return seconds(heartbeat, name="heartbeat")


@frozen(kw_only=True)
class StreamOptions:
    """The arguments of `IottlySession.stream`, which explains them; checked when built.

    Attributes:
        project_id: the project whose messages fill gaps; None if gaps are not filled.
        devices: ids of generation v1.0; None is all devices of the project.
        type: "all", "userdefined" or "iottlyagent".
        since: where a first gap starts; None if there is none.
        fill_gaps: whether gaps are filled.
        settle: seconds to wait after a gap before it is read.
        lookback: seconds that a backfill starts before its gap; None is as `settle`.
        patience: seconds for which a backfill waits out failures that pass; None is
            `Config.patience`.
        buffer: the largest number of messages that wait for the consumer.
        overflow: what happens when the buffer is full.
        heartbeat: seconds of silence after which the connection is pinged.
        max_frame_bytes: the largest frame that is accepted.
        protocol: the address and the frames.

    Raises:
        ConfigurationError: a value is not accepted; the text names it.
    """

    project_id: str | None = None
    devices: tuple[str, ...] | None = field(default=None, converter=_device_ids)
    type: str = field(default="all", converter=_message_type)
    since: datetime | None = field(default=None, converter=_since)
    fill_gaps: bool = field(default=False)
    settle: float = field(converter=_settle)
    lookback: float | None = field(default=None, converter=_lookback)
    patience: float | None = field(default=None, converter=_patience)
    buffer: int = field(default=10_000)
    overflow: Overflow = field(default="wait")
    heartbeat: float = field(default=20.0, converter=_heartbeat)
    max_frame_bytes: int = field(default=1024 * 1024)
    protocol: StreamProtocol = field(default=None, converter=_protocol)

    @fill_gaps.validator
    def _check_fill_gaps(self, attribute: Attribute[bool], value: bool) -> None:
        if flag(value, name=attribute.name) and self.project_id is None:
            raise ConfigurationError("fill_gaps=True needs project_id: its messages fill the gaps")

    @buffer.validator
    def _check_buffer(self, attribute: Attribute[int], value: int) -> None:
        whole(value, name=attribute.name, least=1)

    @overflow.validator
    def _check_overflow(self, attribute: Attribute[str], value: str) -> None:
        choice(value, OVERFLOWS, name=attribute.name)

    @max_frame_bytes.validator
    def _check_max_frame_bytes(self, attribute: Attribute[int], value: int) -> None:
        whole(value, name=attribute.name, least=1024)

    @property
    def subscription(self) -> Subscription:
        """What to ask the service for."""
        return Subscription(project_id=self.project_id, devices=self.devices, type=self.type)
