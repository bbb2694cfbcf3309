"""The service's resources as a user calls them: thin, over a `Requester`."""

from .fleet import FleetCommands, FleetDevices
from .messages import Messages
from .project import Project

__all__ = ["FleetCommands", "FleetDevices", "Messages", "Project"]
