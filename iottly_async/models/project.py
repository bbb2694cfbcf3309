"""The summary of a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ._model import Model


@frozen(kw_only=True)
class ProjectInfo(Model):
    """The summary of a project (v1.0, "Project Inspection").

    Attributes:
        id: the project's unique id.
        name: of the project; None if the service gives none.
        agent_url: where the device agent is downloaded; None if the service gives none.
        agent_file: file name of the agent's installer; None if the service gives none.
        agent_api_host: host that the agents connect to; None if the service gives none.
        board: type of device, such as "Linux ARMv5"; None if the service gives none.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8).
    """

    id: str
    name: str | None = None
    agent_url: str | None = None
    agent_file: str | None = None
    agent_api_host: str | None = None
    board: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
