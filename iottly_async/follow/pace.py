"""How often followed devices are polled, as a user sets it."""

from __future__ import annotations

from datetime import timedelta

from attrs import Attribute, field, frozen

from ..config import Seconds, seconds
from ..errors import ConfigurationError


def _to_seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _check_seconds(_: object, attribute: Attribute[float], value: object) -> None:
    seconds(value, name=attribute.name)


def _check_share(_: object, _attribute: Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigurationError(f"share must be above 0 and up to 1, not {value!r}")


@frozen(kw_only=True)
class FollowPace:
    """How often `messages.follow` and `messages.follow_many` poll a device.

    A poll is a request for the device's new messages. Each device is polled when it is
    expected to have sent, judging by its last messages, and within these bounds.

    Example:
        At most half of the quota, and each device at least every five minutes:

        ```python
        pace = FollowPace(slowest=300, share=0.5)
        async for batch in project.messages.follow_many(pace=pace):
            ...
        ```

    Attributes:
        goal: seconds; the age that a device's oldest unseen message has on average when the
            device is polled, as far as the quota allows. Default 1.
        fastest: seconds between two polls of one device, at least. A doorbell may cause
            earlier ones. Default 1.
        slowest: seconds between two polls of one device, at most. Default 60. Where the
            quota does not allow that, a device is polled less often. The measure is the
            time that one poll of every device takes at the quota: a device that sends
            irregularly waits at most two fifths of it, a device that does not send three
            times as long, and a device that sends at regular intervals three to six times
            as long, because it is polled when its next message is due.
        share: part of the quota that following may use, above 0 and up to 1. Default 0.9.
            The rest is left to other users of the key.

    Raises:
        ConfigurationError: a value is not as above, or `slowest` is less than `fastest`.
    """

    goal: float = field(default=1.0, converter=_to_seconds, validator=_check_seconds)
    fastest: float = field(default=1.0, converter=_to_seconds, validator=_check_seconds)
    slowest: float = field(default=60.0, converter=_to_seconds, validator=_check_seconds)
    share: float = field(default=0.9, validator=_check_share)

    def __attrs_post_init__(self) -> None:
        if self.slowest < self.fastest:
            raise ConfigurationError(
                f"slowest, {self.slowest:g} s, must not be less than fastest, {self.fastest:g} s"
            )


def checked_pace(pace: FollowPace | None) -> FollowPace:
    """`pace`, or the default for None.

    Raises:
        ConfigurationError: it is not a `FollowPace`.
    """
    if pace is None:
        return FollowPace()
    if not isinstance(pace, FollowPace):
        raise ConfigurationError(f"pace must be a FollowPace, not {type(pace).__name__}")
    return pace
