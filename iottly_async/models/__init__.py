"""The service's nouns as frozen values: they refer to no session and do no I/O."""

from ._pydantic import teach_pydantic
from .bad_row import BadRow
from .command import Command, CommandResult, CommandStatus
from .cursor import Cursor
from .device import Device, OperatingStatus
from .fleet import FleetDevice, FleetDevicePage, FleetStatus
from .license import Board, License, LicenseStatus
from .message import Message
from .message_batch import MessageBatch, MessagePage
from .message_type import MessageType
from .outage import Outage
from .project import ProjectInfo
from .quota import Quota

__all__ = [
    "BadRow",
    "Board",
    "Command",
    "CommandResult",
    "CommandStatus",
    "Cursor",
    "Device",
    "FleetDevice",
    "FleetDevicePage",
    "FleetStatus",
    "License",
    "LicenseStatus",
    "Message",
    "MessageBatch",
    "MessagePage",
    "MessageType",
    "OperatingStatus",
    "Outage",
    "ProjectInfo",
    "Quota",
]

teach_pydantic(
    *(BadRow, Board, Command, CommandResult, Cursor, Device, FleetDevice, FleetDevicePage, License),
    *(Message, MessageBatch, MessagePage, Outage, ProjectInfo, Quota),
)
