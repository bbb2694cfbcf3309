"""The plan of a folder: the file ``plan.json`` beside the rows (`layout`).

A folder has one plan. It says how time is divided, and which partitions were planned. Planning
for the same folder continues it. A partition of another plan is refused, because its messages
may be in the folder already.

The division is the first line of the file, so that a worker need not read the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import msgspec

from ...errors import ConfigurationError, StoreError
from ..stores.appendfile import os_errors_as
from ..stores.aside import (
    aside_path,
    new_mode,
    remove_asides,
    replace_file,
    sync_directory,
    write_synced,
)
from ..stores.lock import StoreLock
from .division import Division, Edges
from .layout import plan_path, state_folder
from .partition import Partition, id_of, windows_of

_VERSION: Final = 1

T = TypeVar("T")


class PlannedSource(msgspec.Struct, frozen=True):
    """A project of a plan, as it is written."""

    project: str
    base_url: str
    key_env: str


class PlannedPartition(msgspec.Struct, frozen=True):
    """A partition of a plan, as it is written. `source` is the index of its project."""

    id: str
    source: int
    device_id: str
    edges: Edges


class _Version(msgspec.Struct, frozen=True):
    version: int


class _FirstLine(msgspec.Struct, frozen=True):
    division: Division


class FolderPlan(msgspec.Struct, frozen=True):
    """The plan of a folder.

    Attributes:
        division: how the plan divides time.
        sources: its projects. The keys' variables are those of the time of planning.
        partitions: all that were planned for the folder.
        version: of the file's format. Default: the current one.
    """

    division: Division
    sources: tuple[PlannedSource, ...] = ()
    partitions: tuple[PlannedPartition, ...] = ()
    version: int = _VERSION

    def to_json(self) -> bytes:
        """The plan as JSON, a partition a line."""
        encode = msgspec.json.encode
        head = encode({"version": self.version, "division": self.division})
        sources = b",\n".join(map(encode, self.sources))
        partitions = b",\n".join(map(encode, self.partitions))
        return b'%s,\n"sources":[%s],\n"partitions":[\n%s\n]}\n' % (
            head.removesuffix(b"}"), sources, partitions,
        )  # fmt: skip

    def with_partitions(
        self, planned: Sequence[tuple[PlannedSource, str, str, Edges]]
    ) -> FolderPlan:
        """This plan with more partitions. Those that it has already are not added.

        Args:
            planned: the source, the partition's id, the device's id and the edges of each.

        Returns:
            A new plan.
        """
        sources = dict.fromkeys([*self.sources, *(source for source, *_ in planned)])
        index = {source: number for number, source in enumerate(sources)}
        known = {one.id for one in self.partitions}
        added = [
            PlannedPartition(name, index[source], device_id, edges)
            for source, name, device_id, edges in planned
            if name not in known
        ]
        return FolderPlan(self.division, tuple(sources), (*self.partitions, *added))


def read_plan(folder: str) -> FolderPlan | None:
    """The plan of a folder; None if it has none.

    Raises:
        ConfigurationError: the file is not a plan; the text names it.
        StoreError: the file cannot be read.
    """
    path = plan_path(folder)
    with os_errors_as(StoreError, f"{path!r} cannot be read"):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
    return _plan_of(content, path)


@contextmanager
def writing(folder: str) -> Iterator[None]:
    """Make the folder, and keep others from planning for it during the block.

    Raises:
        StoreError: another process is planning for the folder, or it cannot be written.
    """
    path = plan_path(folder)
    lock = StoreLock(f"{path}.lock", f"{path!r}")
    with os_errors_as(StoreError, f"folder {folder!r}"):
        for each in (folder, state_folder(folder)):
            os.makedirs(each, exist_ok=True)
        lock.hold()
        try:
            remove_asides(path)
            yield
        finally:
            lock.release()


def write_plan(folder: str, plan: FolderPlan, *, old: FolderPlan | None) -> bool:
    """Write the plan of a folder, within `writing`.

    Args:
        folder: of the plan.
        plan: the new plan.
        old: what `read_plan` has returned.

    Returns:
        False if the folder had no plan, and a partition has given it one at this moment.
    """
    path = plan_path(folder)
    if old is None:
        return _create(path, plan.to_json())
    if plan != old:
        replace_file(path, plan.to_json())
    return True


def check_belongs(partition: Partition, folder: str, *, claim: bool = False) -> None:
    """Check that a partition is of the folder's plan.

    Args:
        partition: that is to be run.
        folder: that it is run into.
        claim: whether a folder without a plan gets the division of the partition, if that
            has one. Default False.

    Raises:
        ConfigurationError: the folder has another plan; the text says how to go on.
        StoreError: the file cannot be read or written.
    """
    path = plan_path(folder)
    with os_errors_as(StoreError, f"{path!r}"):
        division = _read_division(path)
        if claim and division is None and partition.division is not None:
            _create(path, FolderPlan(partition.division).to_json())
            division = _read_division(path)
    if division is not None and not _has(division, partition):
        raise ConfigurationError(
            f"folder {folder!r} has another plan, and may have messages of partition "
            f"{partition.id} already. To continue that plan, pass the folder to plan(); to run "
            "this partition, name another folder"
        )


def _create(path: str, content: bytes) -> bool:
    """Create a file with all of its content. False if it exists."""
    aside = aside_path(path)
    try:
        write_synced(aside, content, mode=new_mode())
        os.link(aside, path)  # unlike a rename, this replaces nothing
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(aside)
    sync_directory(path)
    return True


def _read_division(path: str) -> Division | None:
    try:
        with open(path, "rb") as file:
            content = file.readline()
            if content.endswith(b",\n"):
                content = content.removesuffix(b",\n") + b"}"
            else:  # another program has written the JSON in another form
                content += file.read()
    except FileNotFoundError:
        return None
    return _decoded(content, path, _FirstLine).division


def _plan_of(content: bytes, path: str) -> FolderPlan:
    plan = _decoded(content, path, FolderPlan)
    for one in plan.partitions:
        project = plan.sources[one.source].project if one.source < len(plan.sources) else ""
        whole = one.edges and plan.division.batch_at(one.edges[0]) == one.edges
        if not whole or one.id != id_of(project, plan.division.type, one.device_id, one.edges):
            raise _unreadable(path, f"partition {one.id[:100]!r} was altered")
    return plan


def _decoded(content: bytes, path: str, form: type[T]) -> T:
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version == _VERSION:
            return msgspec.json.decode(content, type=form)
        reason = f"it has version {version}, and this library reads {_VERSION}"
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    raise _unreadable(path, reason)


def _unreadable(path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path!r} is not the plan that was written: {reason}. Restore it, or name another folder"
    )


def _has(division: Division, partition: Partition) -> bool:
    if not partition.windows:
        return True  # it has no messages
    first, *more = partition.windows
    edges = (first.start, first.end, *(window.end for window in more))
    joined = windows_of(first.device_id, edges)
    return (
        partition.type == division.type
        and partition.windows == joined
        and division.batch_at(first.start) == edges
    )
