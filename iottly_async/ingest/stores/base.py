"""What a store is: the small protocol between a job and whatever keeps its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from attrs import frozen

from ...models import Cursor, Message


@frozen(kw_only=True)
class Rejected:
    """A message that cannot be stored as the others are; kept apart, never lost.

    Attributes:
        message: as it arrived; `message.payload_json` holds the raw bytes.
        reason: why, as a text for people.
    """

    message: Message
    reason: str


@frozen(kw_only=True)
class Held:
    """What a store holds from earlier runs.

    Attributes:
        plan: the text that `Store.begin` was given last; None in a new store.
        cursors: `Cursor.to_json` texts by device id.
    """

    plan: str | None
    cursors: Mapping[str, str]


@frozen(kw_only=True)
class Group:
    """Rows that are written together, with the cursors that follow them.

    Attributes:
        messages: of any of the job's devices, in no particular order.
        rejected: those that the job itself set apart; their payload is not valid JSON.
        cursors: by device id; each follows all rows of its device here and before. A
            device may have a cursor and no rows.
    """

    messages: list[Message]
    rejected: list[Rejected]
    cursors: Mapping[str, Cursor]


@runtime_checkable
class Store(Protocol):
    """What a job writes to. One job at a time; calls come one after the other.

    A row and the cursor that follows it become durable together, or so that a resume
    sets the rows back to the cursor: it is all that the job builds on. A store says what
    went wrong with a `StoreError`, and by a `ConfigurationError` what it will not open.

    It may have two attributes: `flush_every`, seconds between two flushes where the job was
    not told otherwise (1 where it has none); and `group_rows`, how many rows are worth a call
    of `write` (500). Fewer are written where time is up, more where the store is behind.
    """

    async def open(self) -> Held:
        """Make the store ready, or new where there is none; what it holds.

        Raises:
            ConfigurationError: it cannot be opened, or is something else.
            StoreError: it is not reached.
        """
        ...

    async def begin(self, plan: str) -> None:
        """Keep `plan` in place of the one before; durable on return."""
        ...

    async def write(self, group: Group) -> Mapping[str, int]:
        """Take a group; it may become durable with the next `flush` only.

        Returns:
            How many of `group.messages` the store itself put to the rejected, by device
            id; empty where it took them all.
        """
        ...

    async def flush(self) -> None:
        """Make durable what was written, cursors last."""
        ...

    async def close(self) -> None:
        """Let go of the store, without a flush; may be called twice."""
        ...
