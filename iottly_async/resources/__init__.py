"""The methods that a user calls, grouped by resource. They check arguments and read answers."""

from .fleet import FleetCommands, FleetDevices
from .messages import Messages
from .project import Project

__all__ = ["FleetCommands", "FleetDevices", "Messages", "Project"]
