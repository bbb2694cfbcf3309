"""What produced a message."""

from __future__ import annotations

from ._values import OpenEnum


class MessageType(OpenEnum):
    """What produced a message: a user's script or the agent."""

    USERDEFINED = "userdefined"
    IOTTLYAGENT = "iottlyagent"
