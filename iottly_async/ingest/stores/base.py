"""What a store is: the protocols between a job, its store, and who reads the store later."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import field, frozen

from ...models import BadRow, Cursor, Message
from ...models.message_batch import MadeOfRows, rows_of
from ...models.row import MessageRow
from ..grid import TimeGrid
from ..payload_columns import PayloadColumn
from .devices import ListedDevice

if TYPE_CHECKING:
    from ...arrow import RecordBatch


@frozen(kw_only=True)
class Rejected:
    """What arrived from a device and cannot be stored as a row of messages.

    It is either a message whose payload is invalid, or a row of a page that is no message,
    for example one without a timestamp (D8).

    Attributes:
        reason: why it was rejected, as a text for people.
        path: the JSON path of what is wrong, from the row as its root, such as
            ``$.timestamp``. Default ``$``, the whole row.
        message: the message as it arrived; `message.payload_json` has the payload's bytes.
            None if the row is no message.
        raw: the bytes of a row that is no message; None if there is a message.
        device_id: the device that it was fetched for. Default: the message's.
    """

    reason: str
    path: str = "$"
    message: Message | None = None
    raw: bytes | None = None
    device_id: str = field()

    @device_id.default
    def _device_of_message(self) -> str:
        return "" if self.message is None else self.message.device_id

    @classmethod
    def of_row(cls, row: BadRow, device_id: str) -> Rejected:
        """Make it of a row that is no message.

        Args:
            row: the row.
            device_id: the device that it was fetched for.

        Returns:
            The rejected row, with its bytes.
        """
        return cls(reason=row.reason, path=row.row_path, raw=row.raw, device_id=device_id)

    @property
    def key(self) -> str:
        """The message's key. Of a row that is no message, a digest of device and bytes.

        A row that is no message has no time that could tell it from an equal one. Equal
        rows of one device are therefore one rejected row, however often they arrive.
        """
        if self.message is not None:
            return self.message.key
        data = self.device_id.encode() + b"\0" + (self.raw or b"")
        return blake2b(data, digest_size=16).hexdigest()


@frozen(kw_only=True)
class StoredState:
    """What a store knows of the runs that wrote into it.

    Attributes:
        plan: the text that `Store.begin` was given last. None in a new store.
        cursors: the cursor of each device, as a `Cursor.to_json` text, by device id.
        unreadable: the `Rejected.key` of each rejected row that is no message, by device id.
            A job does not reject such a row again. Empty by default.
        columns: the typed columns that the store makes of payloads, by name. Empty by default.
    """

    plan: str | None
    cursors: Mapping[str, str]
    unreadable: Mapping[str, Collection[str]] = field(factory=dict)
    columns: Mapping[str, PayloadColumn] = field(factory=dict)


@frozen(kw_only=True)
class Group(MadeOfRows):
    """Rows that are written together, and the cursors that follow them.

    Attributes:
        messages: of any of the job's devices, in no particular order. They are made when they
            are first read; `arrow` has the same in columns.
        rejected: what cannot be stored as a row of messages.
        cursors: by device id. A cursor follows all rows of its device in this group and
            in the groups before. A device can have a cursor and no rows.
    """

    messages: list[Message]
    rejected: list[Rejected]
    cursors: Mapping[str, Cursor]

    def arrow(self) -> RecordBatch:
        """The messages as Arrow columns. A store that takes them makes no `Message`.

        Returns:
            A `pyarrow.RecordBatch` with the columns of `iottly_async.arrow.SCHEMA`.

        Raises:
            ModuleNotFoundError: the extra ``arrow`` is not installed.
        """
        from ...arrow import record_batch

        return record_batch(rows_of(self))


def group_of(
    rows: Sequence[MessageRow], *, rejected: list[Rejected], cursors: Mapping[str, Cursor]
) -> Group:
    """Make a group of rows. Its messages are made when they are first read.

    Args:
        rows: the messages, in any order.
        rejected: as in `Group`.
        cursors: as in `Group`.

    Returns:
        The group.
    """
    group = object.__new__(Group)
    object.__setattr__(group, "_rows", rows)
    object.__setattr__(group, "rejected", rejected)
    object.__setattr__(group, "cursors", cursors)
    return group


@runtime_checkable
class Store(Protocol):
    """What a job writes to. One job uses it at a time, and its calls do not overlap.

    The job relies on one promise. A row and the cursor that follows it become durable
    together, or `open` removes the rows that no durable cursor follows.

    A store raises `ConfigurationError` if it cannot be opened, and `StoreError` if
    something fails later.

    A store takes what it reads of a group: `Group.messages`, or `Group.arrow` for columns.

    Three attributes are optional:

    - `group_rows`: the number of rows that are worth one call of `write`. Without the
      attribute it is 500. A group has fewer rows if a flush is due, and more if the store is
      slower than the walks.
    - `awaits_flush`: True if `flush` is to be called again though nothing is written. Without
      the attribute it is False.
    - `uses_keys`: whether the store reads the `key` of each message. The job then computes
      all keys of a page together, in half the time. Without the attribute it is False, and a
      message computes its key when it is read.

    Two methods are optional, too:

    - ``async def keep_devices(self, devices: Sequence[ListedDevice]) -> None``: keep what the
      project's list says of its devices. A job calls it once, after `begin`; with no devices, if
      it has not listed them. What is known of other devices stays.
    - ``async def keep_columns(self, columns: Sequence[PayloadColumn]) -> Sequence[PayloadColumn]``:
      make these typed columns of the payloads, and remember them for `StoredState.columns`. A job
      calls it after `begin`, if columns are new, and before the first `write` of rows that show a
      new type. It returns the columns, with types that the stored rows show. A store without it
      takes no `columns`.

    Example:
        A store that prints its rows and remembers nothing:

        ```python
        class PrintStore:
            async def open(self) -> StoredState:
                return StoredState(plan=None, cursors={})

            async def begin(self, plan: str) -> None:
                pass

            async def write(self, group: Group) -> dict[str, int]:
                for message in group.messages:
                    print(message)
                return {}

            async def flush(self) -> None:
                pass

            async def close(self) -> None:
                pass
        ```
    """

    async def open(self) -> StoredState:
        """Open the store for this job alone.

        A store that does not exist is better created by `begin`: then a job whose key is
        refused leaves no empty store.

        Returns:
            The plan and the cursors of the last run.

        Raises:
            ConfigurationError: the store cannot be opened, or belongs to something else.
            StoreError: another job has it open, or the store's server cannot be reached.
        """
        ...

    async def begin(self, plan: str) -> None:
        """Replace the stored plan. The new one is durable on return. It precedes any `write`.

        Args:
            plan: an opaque text of the job, of one line.

        Raises:
            StoreError: the store failed.
        """
        ...

    async def write(self, group: Group) -> Mapping[str, int]:
        """Write a group. It becomes durable at once, or with the next `flush`.

        Args:
            group: the rows and their cursors.

        Returns:
            The number of rows of `group.messages` that the store itself rejected, by
            device id. Empty if it took all of them.

        Raises:
            StoreError: the store failed.
        """
        ...

    async def flush(self) -> None:
        """Make everything durable that was written: first the rows, then the cursors.

        Raises:
            StoreError: the store failed.
        """
        ...

    async def close(self) -> None:
        """Close the store without a flush. A second call does nothing."""
        ...


@runtime_checkable
class StoreWithDevices(Protocol):
    """A store that keeps the project's devices; see `Store`."""

    async def keep_devices(self, devices: Sequence[ListedDevice]) -> None:
        """Keep what the project's list says of its devices."""
        ...


@runtime_checkable
class StoreWithColumns(Protocol):
    """A store that makes typed columns of payloads; see `Store`."""

    async def keep_columns(self, columns: Sequence[PayloadColumn]) -> Sequence[PayloadColumn]:
        """Make these columns. Returns them, with the types that the stored rows show."""
        ...


class StoreReader(Protocol):
    """Reads what a store holds, and changes nothing."""

    async def state(self) -> StoredState:
        """The plan and the cursors of the last run.

        Raises:
            ConfigurationError: the store does not exist, or cannot be read.
        """
        ...

    async def first(self) -> int | None:
        """The time of the oldest row, in milliseconds since the epoch; None without rows."""
        ...

    async def counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        """The number of messages in each bin of the grid, by device; rejected ones count too.

        A rejected row that is no message has no time, and is in no bin.
        """
        ...

    async def rejected(self) -> dict[str, int]:
        """The number of rejected rows of any time, by device; those that are no message too."""
        ...

    async def names(self) -> dict[str, str]:
        """The names of the devices that have one, by device id. Empty if the store keeps none."""
        ...

    async def close(self) -> None:
        """Free what was needed to read. A second call does nothing."""
        ...
