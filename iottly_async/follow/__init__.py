"""Following devices: polls without end, at a pace that the quota allows.

A followed device is polled by a walk that goes on from its cursor. So following keeps the
walk's promises: no message is lost or repeated, and each device's messages come in order.
What this room adds is the decision when to poll which device:

- `traffic`: when a device is expected to send next, from when it has sent before.
- `budget`: when the next poll may be sent, from the remaining quota.
- `wakeups`: when a wake-up from a doorbell is answered by a poll.
- `schedule`: which device is due first.
- `timed_pages`: pages with a precise time of the server.
- `present`: from where devices are followed that have no cursor.
- `poll`: one poll of one device.
- `follower`: the tasks around these.
"""

from .doorbell import Doorbell
from .follower import Follower
from .pace import FollowPace, checked_pace

__all__ = ["Doorbell", "FollowPace", "Follower", "checked_pace"]
